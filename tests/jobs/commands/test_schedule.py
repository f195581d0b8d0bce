"""`nightread schedule`: its times as people and scripts read them."""

import json
from datetime import UTC, datetime

import pytest
from support import Nightread


@pytest.mark.parametrize(
    ("zone", "shown"),
    [("UTC", "02:00 UTC\n"), ("Asia/Tokyo", "17:00 UTC (2"), ("Asia/Tokyo", "02:00 Asia/Tokyo)")],
)
def test_a_due_time_is_told_in_utc_and_in_the_schedules_zone(
    nightread: Nightread, zone: str, shown: str
) -> None:
    added = nightread.call(
        "schedule", "add", "night", "--cron", "0 2 * * *", "--timezone", zone, "evaluate", "latest"
    )
    assert added.returncode == 0, added.stderr
    assert shown in added.stdout


def test_the_list_has_moments_in_iso_8601_for_scripts(nightread: Nightread) -> None:
    nightread.call("schedule", "add", "night", "--cron", "0 2 * * *", "evaluate", "latest")
    (listed,) = json.loads(nightread.call("schedule", "list", "--json").stdout)
    assert (listed["name"], listed["action"]["do"]) == ("night", "evaluate")
    due = datetime.fromisoformat(listed["next_due_at"])
    assert "T" in listed["next_due_at"]
    assert (due.tzinfo, due.hour, due > datetime.now(UTC)) == (UTC, 2, True)
