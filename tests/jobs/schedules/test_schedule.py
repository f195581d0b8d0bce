"""What a tick makes of schedules, whatever the clock does; how alerts are delivered; the commands."""

import json
import logging
import threading
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import typer
from hostile import strings
from schedules_support import DAY, HOUR, NIGHTS, SUNDAY, Archive
from sqlalchemy import insert, select, text, update
from support import STUB_CARD, free_port, write_card, write_manifest
from typer.testing import CliRunner

from config.cards.stub import StubCard
from config.errors import ConfigError
from config.failures import Reason, Stage
from config.settings import Settings, load_settings
from db import alerts, ledger, queries, recovery, schedules
from db.alerts import Predecessor
from db.database import Database, Record, clock
from db.outcomes import Failed
from db.retries import retry_failed
from db.schedules import DueTime
from db.schema.evaluations import evaluation
from db.schema.runs import run
from db.schema.schedules import alert, schedule_due
from db.schema.schedules import schedule as schedule_table
from jobs.console import plain
from jobs.errors import JobsError
from jobs.schedules.schedule import (
    Evaluate,
    ScheduleError,
    latest_due,
    next_due,
    require_times,
    tick,
)
from jobs.schedules.webhook import deliver
from jobs.submit import Order
from workers.commands.main import app
from workers.evaluation.regression import _message

BERLIN = "Europe/Berlin"


def berlin(*moment: int, fold: int = 0) -> datetime:
    return datetime(*moment, tzinfo=ZoneInfo(BERLIN), fold=fold).astimezone(UTC)  # type: ignore[arg-type, misc]


# --- times -------------------------------------------------------------------------------------------------


def acted_on(cron: str, timezone: str, begin: datetime, end: datetime) -> list[datetime]:
    """The times that ticks every five minutes act on, as `tick` chooses them."""
    found: list[datetime] = []
    now, last = begin, begin
    while now <= end:
        due_at = latest_due(cron, timezone, now)
        if due_at > last:
            found.append(due_at)
            last = due_at
        now += timedelta(minutes=5)
    return found


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 1 * * *", [(2026, 3, 29, 1, 0)]),
        ("30 2 * * *", [(2026, 3, 29, 3, 0)]),  # there is no half past two: cron acts when the hour is over
        ("0 2,3 * * *", [(2026, 3, 29, 3, 0)]),
        (
            "*/30 1-3 * * *",
            [(2026, 3, 29, 1, 0), (2026, 3, 29, 1, 30), (2026, 3, 29, 3, 0), (2026, 3, 29, 3, 30)],
        ),
    ],
)
def test_the_hour_that_spring_leaves_out_loses_no_daily_time_and_doubles_none(
    cron: str, expected: list[tuple[int, ...]]
) -> None:
    times = acted_on(cron, BERLIN, berlin(2026, 3, 29, 0, 30), berlin(2026, 3, 29, 12, 0))
    assert times == [berlin(*moment) for moment in expected]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("30 2 * * *", [(2026, 10, 25, 2, 30)]),
        ("0 2,3 * * *", [(2026, 10, 25, 2, 0), (2026, 10, 25, 3, 0)]),
        ("0 4 * * *", [(2026, 10, 25, 4, 0)]),
    ],
)
def test_the_hour_that_autumn_has_twice_is_acted_on_once(cron: str, expected: list[tuple[int, ...]]) -> None:
    times = acted_on(cron, BERLIN, berlin(2026, 10, 25, 0, 30), berlin(2026, 10, 25, 12, 0))
    assert times == [berlin(*moment) for moment in expected]


def test_what_is_due_every_hour_is_due_in_the_doubled_hour_too() -> None:
    times = acted_on("0 * * * *", BERLIN, berlin(2026, 10, 25, 0, 30), berlin(2026, 10, 25, 4, 30))
    assert len(times) == 5
    assert all(later - earlier == HOUR for earlier, later in pairwise(times))


@pytest.mark.parametrize("timezone", ["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("cron", ["30 2 * * *", "15 1,2 * * SUN", "*/20 * * * *", "0 0 1 * *", "0 12 29 2 *"])
def test_the_latest_time_is_the_one_that_was_the_next_before(cron: str, timezone: str) -> None:
    before = next_due(cron, timezone, datetime(2026, 1, 1, tzinfo=UTC))
    for _ in range(400):
        coming = next_due(cron, timezone, before)
        assert latest_due(cron, timezone, coming - timedelta(seconds=1)) == before
        assert latest_due(cron, timezone, coming) == coming
        before = coming


@pytest.mark.parametrize(
    ("cron", "timezone", "problem"),
    [
        ("0 25 * * *", "UTC", "--cron: '0 25 .*bad hour"),
        ("0 2 * *", "UTC", "five fields"),
        ("0 0 2 * * *", "UTC", "five fields"),
        ("0 2 30 2 *", "UTC", "bad day-of-month"),
        ("0 2 * * *", "Berlin", "--timezone: 'Berlin' is no time zone"),
        ("0 2 * * *", "../secret", "is no time zone"),
        ("0 2 * * *", "", "is no time zone"),
    ],
)
def test_times_that_are_none_are_refused_with_the_option(cron: str, timezone: str, problem: str) -> None:
    with pytest.raises(ScheduleError, match=problem):
        require_times(cron, timezone, SUNDAY)


# --- the tick ----------------------------------------------------------------------------------------------


@pytest.fixture
def archive(database: Database, tmp_path: Path) -> Archive:
    return Archive(database, tmp_path)


def test_nothing_happens_before_the_first_time_after_the_schedule_was_added(archive: Archive) -> None:
    archive.schedule()
    archive.tick(SUNDAY + HOUR)
    archive.tick(NIGHTS[0] - timedelta(seconds=1))
    assert archive.history() == []
    archive.tick(NIGHTS[0])
    assert archive.history() == [(NIGHTS[0], "begun", 1, None)]


def test_each_night_scores_only_the_images_that_are_new(archive: Archive) -> None:
    archive.schedule()
    scored = []
    for night, images in zip(NIGHTS, (6, 9, 14), strict=False):
        write_manifest(archive.manifest, images)
        scored.append(archive.night(night))
    assert scored == [6, 3, 5]
    assert archive.count("(SELECT DISTINCT image_index FROM scores) s") == archive.count("scores") / 14 == 14
    progress = [(found.images, found.status) for found in queries.all_progress(archive.database)]
    assert progress == [(5, "complete"), (3, "complete"), (6, "complete")]


def test_a_night_without_anything_new_makes_no_run(archive: Archive) -> None:
    archive.schedule()
    archive.night(NIGHTS[0])
    assert archive.night(NIGHTS[1]) == 0
    assert archive.history() == [(NIGHTS[0], "begun", 1, None), (NIGHTS[1], "nothing_new", None, None)]
    assert archive.count("evaluations") == 1


def test_corrected_labels_make_a_run_of_no_image_whose_evaluation_has_them(archive: Archive) -> None:
    schedule_id = archive.schedule()
    archive.night(NIGHTS[0])
    corrected = archive.manifest.read_text().replace("No Finding", "Mass")
    archive.manifest.write_text(corrected)
    assert archive.night(NIGHTS[1]) == 0
    second = queries.progress(archive.database, 2)
    assert (second.images, second.status) == (0, "complete")
    with archive.database.read() as connection:
        found = connection.execute(select(evaluation).where(evaluation.c.run_id == 2)).one()
        labels = connection.execute(select(run.c.manifest_id).where(run.c.id == 2)).scalar_one()
        before = connection.execute(select(run.c.manifest_id).where(run.c.id == 1)).scalar_one()
    assert labels != before
    assert (found.label_manifest_id, found.schedule_id) == (labels, schedule_id)


def test_an_image_that_failed_is_tried_again_the_next_night(archive: Archive) -> None:
    archive.schedule()
    archive.night(NIGHTS[0])
    with archive.database.write() as connection:
        connection.execute(text("DELETE FROM score WHERE image_id = 3"))
        connection.execute(
            text("UPDATE image_result SET status = 'failed', reason = 'missing' WHERE image_id = 3")
        )
    assert archive.night(NIGHTS[1]) == 1


def test_another_model_under_the_same_name_scores_everything_again(archive: Archive) -> None:
    archive.schedule()
    assert archive.night(NIGHTS[0]) == 6
    write_card(archive.folder / "models", STUB_CARD | {"sha256": "1" * 64})
    assert archive.night(NIGHTS[1]) == 6
    with archive.database.read() as connection:
        rows = connection.execute(
            text("SELECT COUNT(DISTINCT probability) FROM scores WHERE finding = 'Mass' GROUP BY image_index")
        ).scalars()
        assert set(rows) == {2}


def test_of_several_missed_times_only_the_latest_is_caught_up(archive: Archive) -> None:
    archive.schedule()
    archive.night(NIGHTS[4] + HOUR)
    archive.night(NIGHTS[4] + 2 * HOUR)
    assert [due_at for due_at, *_ in archive.history()] == [NIGHTS[4]]


def test_a_long_night_is_followed_by_one_catching_up_when_it_is_over(archive: Archive) -> None:
    archive.schedule()
    archive.tick(NIGHTS[0])
    archive.tick(NIGHTS[1])
    archive.tick(NIGHTS[2])
    assert len(archive.history()) == 1
    archive.work()
    write_manifest(archive.manifest, 8)
    assert archive.night(NIGHTS[2] + HOUR) == 2
    assert [due_at for due_at, *_ in archive.history()] == [NIGHTS[0], NIGHTS[2]]


def test_many_reconcilers_at_once_make_one_run(archive: Archive) -> None:
    archive.schedule()
    barrier = threading.Barrier(6)

    def reconcile(_: int) -> None:
        barrier.wait()
        archive.tick(NIGHTS[0])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(reconcile, range(6)))
    assert archive.history() == [(NIGHTS[0], "begun", 1, None)]
    assert archive.count("progress") == 1


def test_a_crash_between_noting_and_acting_is_made_good_by_the_next_tick(archive: Archive) -> None:
    schedule_id = archive.schedule()
    with archive.database.write() as connection:
        connection.execute(
            insert(schedule_due).values(schedule_id=schedule_id, due_at=NIGHTS[0], state="due")
        )
    archive.tick(NIGHTS[0] + HOUR)
    archive.tick(NIGHTS[0] + 2 * HOUR)
    assert archive.history() == [(NIGHTS[0], "begun", 1, None)]


# --- what fails --------------------------------------------------------------------------------------------


def test_a_manifest_that_is_gone_fails_once_with_one_alert_and_the_next_night_goes_on(
    archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    archive.schedule()
    content = archive.manifest.read_text()
    archive.manifest.unlink()
    archive.tick(NIGHTS[0])
    archive.tick(NIGHTS[0] + HOUR)
    assert archive.history() == [(NIGHTS[0], "failed", None, None)]
    (raised,) = alerts.since(archive.database, SUNDAY)
    assert (raised.kind, raised.schedule) == ("failed", "night")
    assert "schedule night" in raised.message
    assert "there is no such file" in raised.message
    assert caplog.text.count(raised.message) == 1
    archive.manifest.write_text(content)
    assert archive.night(NIGHTS[1]) == 6


def test_a_bad_row_fails_with_its_place_and_leaves_nothing_of_the_manifest(archive: Archive) -> None:
    archive.schedule()
    secret = "00000042_PATIENT.png"
    archive.manifest.write_text(f"Image Index,Mass\na.png,1\n{secret},1\n{secret},1\n")
    archive.tick(NIGHTS[0])
    assert "line 4" in archive.message()
    assert secret in archive.message()
    (raised,) = alerts.since(archive.database, SUNDAY)
    assert "line 4" in raised.message
    assert secret not in raised.message  # an alert leaves the house
    assert archive.count("manifest") == archive.count("image") == archive.count("progress") == 0


def test_a_model_or_a_folder_that_is_missing_fails_with_its_name(archive: Archive) -> None:
    archive.schedule()
    (archive.folder / "models" / "stub" / "card.yaml").unlink()
    archive.tick(NIGHTS[0])
    assert "there is no model 'stub'" in archive.message()
    assert archive.count("alerts") == 1


def test_a_night_whose_images_are_away_begins_nothing_and_its_alert_names_none(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StubCard, "reads_images", True)
    archive.schedule()
    archive.tick(NIGHTS[0])
    assert archive.history() == [(NIGHTS[0], "failed", None, None)]
    assert "00000000_000.png" in archive.message()
    (raised,) = alerts.since(archive.database, SUNDAY)
    assert "6 of 6 images are not below" in raised.message
    assert ".png" not in raised.message
    for number in range(archive.images):
        (archive.folder / f"{number:08d}_000.png").write_bytes(b"here")
    assert archive.night(NIGHTS[1]) == 6


@pytest.mark.parametrize(("share", "state"), [(0.4, "failed"), (0.5, "begun")])
def test_a_night_begins_with_as_many_images_away_as_may_be(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, share: float, state: str
) -> None:
    monkeypatch.setattr(StubCard, "reads_images", True)
    for number in range(archive.images // 2):
        (archive.folder / f"{number:08d}_000.png").write_bytes(b"here")
    archive.schedule(archive.score(share))
    archive.tick(NIGHTS[0])
    assert [row[1] for row in archive.history()] == [state]


def test_others_write_while_a_night_looks_its_images_up(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule_id = archive.schedule()
    free = []

    def looked_up(order: Order, *_: object) -> tuple[Order, tuple[str, ...]]:
        with archive.database.write() as connection:  # within a transaction of the tick's it would wait
            connection.execute(update(schedule_due).values(message="written"))
        free.append(schedules.claim(archive.database, DueTime(schedule_id, NIGHTS[0]), 60) is None)
        return order, ()

    monkeypatch.setattr(StubCard, "reads_images", True)
    monkeypatch.setattr("jobs.schedules.schedule.look_at_images", looked_up)
    assert archive.night(NIGHTS[0]) == 6
    assert free == [True]


def fail_everything(archive: Archive) -> list[int]:
    """Work on what waits, with nothing scored; gives the evaluations that are due then."""
    for batch in ledger.take_pending(archive.database, 1_000):
        held = ledger.claim(archive.database, batch.batch_id, "worker", 60)
        assert held is not None
        failed = [Failed(image.image_id, Stage.READ, Reason.DAMAGED, "a checksum") for image in held.images]
        assert ledger.complete(archive.database, held, failed)
    return recovery.close_finished(archive.database)


def test_a_night_that_scores_nothing_is_alerted_once_however_often_it_is_tried(archive: Archive) -> None:
    archive.schedule()
    archive.tick(NIGHTS[0])
    assert fail_everything(archive) == []
    assert retry_failed(archive.database, 1) == 6
    assert fail_everything(archive) == []
    (raised,) = alerts.since(archive.database, SUNDAY)
    assert (raised.kind, raised.schedule, raised.run_id) == ("failed", "night", 1)
    assert "none of its 6 images could be scored" in raised.message
    with archive.database.read() as connection:
        assert connection.execute(text("SELECT run_id, due_at IS NULL FROM alerts")).all() == [(1, False)]
    assert archive.night(NIGHTS[1]) == 6, "the next night goes on"


def test_new_images_that_all_fail_are_no_failure_of_an_archive_with_scores(archive: Archive) -> None:
    archive.schedule()
    archive.night(NIGHTS[0])
    write_manifest(archive.manifest, archive.images + 1)
    archive.tick(NIGHTS[1])
    assert len(fail_everything(archive)) == 1, "the others' scores are evaluated"
    assert archive.count("alerts") == 0


# --- scheduled evaluations ---------------------------------------------------------------------------------


def test_the_latest_complete_run_is_evaluated_with_all_that_was_asked_for(archive: Archive) -> None:
    archive.schedule()
    archive.night(NIGHTS[0])
    schedules.remove(archive.database, "night", SUNDAY)
    schedule_id = archive.schedule(Evaluate(run="latest", bootstrap=200, sensitivity=0.9))
    archive.tick(NIGHTS[1])
    with archive.database.read() as connection:
        made = connection.execute(select(evaluation).order_by(evaluation.c.id.desc()).limit(1)).one()
    assert archive.history()[-1] == (NIGHTS[1], "begun", None, made.id)
    assert (made.run_id, made.state, made.closes_run, made.schedule_id) == (1, "due", False, schedule_id)
    assert (made.label_set, made.bootstrap, made.wanted_sensitivity) == ("manifest", 200, 0.9)
    archive.tick(NIGHTS[2])
    assert len(archive.history()) == 2  # the one before goes on


def test_labels_of_a_file_are_read_anew_each_time(archive: Archive) -> None:
    archive.schedule()
    archive.night(NIGHTS[0])
    schedules.remove(archive.database, "night", SUNDAY)
    labels = write_manifest(archive.folder / "readers.csv", 3)
    archive.schedule(Evaluate(run=1, labels=labels, label_set="readers"))
    archive.night(NIGHTS[1])
    labels.write_text(labels.read_text().replace("No Finding", "Mass"))
    archive.night(NIGHTS[2])
    with archive.database.read() as connection:
        found = connection.execute(
            text("SELECT label_set, labels_sha256 FROM evaluations ORDER BY evaluation_id")
        ).all()
    assert [evaluated.label_set for evaluated in found] == ["manifest", "readers", "readers"]
    assert len({evaluated.labels_sha256 for evaluated in found}) == 3


@pytest.mark.parametrize(
    ("wanted", "problem"), [("latest", "no run is complete yet"), (7, "no complete run 7")]
)
def test_an_evaluation_without_its_run_fails(archive: Archive, wanted: Any, problem: str) -> None:
    archive.schedule(Evaluate(run=wanted))
    archive.tick(NIGHTS[0])
    assert problem in archive.message()
    assert archive.count("alerts") == 1


# --- delivery ----------------------------------------------------------------------------------------------


@dataclass
class Webhook:
    """A server on loopback that keeps what is posted to it, and answers as it is told."""

    status: int = 204
    location: str = ""
    received: list[tuple[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.received.append((self.path, json.loads(body)))
                self.send_response(hook.status)
                self.send_header("Location", hook.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def url(self, path: str = "/hooks/secret-token") -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    opened = Webhook()
    yield opened
    opened.close()


@pytest.fixture
def alerted(archive: Archive) -> Archive:
    """An archive with one alert that was raised this moment."""
    schedule_id = archive.schedule()
    with archive.database.write() as connection:
        alerts.raise_failed(
            connection, DueTime(schedule_id, NIGHTS[0]), "schedule night: the manifest is gone"
        )
    return archive


def post(archive: Archive, url: str | None) -> None:
    settings = Settings.model_validate({"home": archive.folder, "webhook_url": url})
    deliver(archive.database, settings, datetime.now(UTC))


def let_the_pause_pass(archive: Archive) -> None:
    with archive.database.write() as connection:
        connection.execute(update(alert).values(tried_at=clock() - 86_000))


def stored(archive: Archive) -> tuple[int, bool]:
    """Tries, and whether it was delivered."""
    with archive.database.read() as connection:
        row = connection.execute(select(alert.c.tries, alert.c.delivered_at)).one()
    return row.tries, row.delivered_at is not None


def test_an_alert_is_posted_once_as_json_without_a_patient(alerted: Archive, webhook: Webhook) -> None:
    post(alerted, webhook.url())
    post(alerted, webhook.url())
    ((path, body),) = webhook.received
    assert path == "/hooks/secret-token"
    assert datetime.fromisoformat(body.pop("time")).tzinfo is not None
    assert body == {
        "alert": 1,
        "kind": "failed",
        "schedule": "night",
        "message": "schedule night: the manifest is gone",
        "run": None,
        "evaluation": None,
    }
    assert stored(alerted) == (1, True)


def test_whatever_names_hold_valid_json_of_plain_text_arrives(
    alerted: Archive, webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    texts = [*strings(41, 500), "\x1b]0;\x07" * 2**18]  # the last one is a megabyte
    rows = [
        {"schedule_id": 1, "kind": "failed", "message": said, "raised_at": datetime.now(UTC)}
        for said in texts
    ]
    predecessor = Predecessor(texts[0], 0.02, 1, texts[1], texts[2])
    lost: list[Record] = [{"finding": name, "auroc_a": 0.9, "auroc_b": 0.5} for name in texts[3:6]]
    rows[0]["message"] = _message(predecessor, 2, lost)
    with alerted.database.write() as connection:
        connection.execute(update(schedule_table).values(name=texts[7]))
        connection.execute(insert(alert), rows)
    post(alerted, webhook.url())
    bodies = [body for _, body in webhook.received]
    assert [body["message"] for body in bodies[1:]] == [plain(str(row["message"])) for row in rows]
    assert {body["schedule"] for body in bodies} == {plain(texts[7])}
    for body in bodies:
        for said in (body["message"], body["schedule"]):
            kinds = {unicodedata.category(letter) for letter in said if letter not in "\n\t"}
            assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert "secret-token" not in json.dumps(body)
    assert all(name in bodies[1]["message"] for name in map(plain, texts[3:6]))
    assert "secret-token" not in caplog.text


def test_many_reconcilers_at_once_post_once(alerted: Archive, webhook: Webhook) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: post(alerted, webhook.url()), range(6)))
    assert len(webhook.received) == 1


@pytest.mark.parametrize("status", [500, 404, 302])
def test_another_answer_than_success_is_tried_again_after_a_pause(
    alerted: Archive, webhook: Webhook, status: int
) -> None:
    webhook.status = status
    post(alerted, webhook.url())
    post(alerted, webhook.url())
    assert stored(alerted) == (1, False)
    let_the_pause_pass(alerted)
    webhook.status = 200
    post(alerted, webhook.url())
    assert stored(alerted) == (2, True)
    assert len(webhook.received) == 2


def test_a_redirect_leads_the_alert_nowhere(alerted: Archive, webhook: Webhook) -> None:
    elsewhere = Webhook()
    webhook.status, webhook.location = 307, elsewhere.url()
    post(alerted, webhook.url())
    elsewhere.close()
    assert elsewhere.received == []
    assert stored(alerted) == (1, False)


def test_the_webhooks_url_is_in_no_log_whatever_happens(
    alerted: Archive, webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    post(alerted, f"http://127.0.0.1:{free_port()}/hooks/secret-token")
    assert "alert 1 could not be delivered: ConnectionError" in caplog.text
    for status in (500, 200):
        let_the_pause_pass(alerted)
        webhook.status = status
        post(alerted, webhook.url())
    assert stored(alerted) == (3, True)
    assert "secret-token" not in caplog.text
    assert str(webhook.server.server_port) not in caplog.text


def test_a_webhook_of_another_kind_stops_the_start_and_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREAD_WEBHOOK_URL", "ftp://host/secret-token")
    with pytest.raises(ConfigError, match=r"NIGHTREAD_WEBHOOK_URL.*must start with https://") as refused:
        load_settings()
    assert "https://" in str(refused.value)
    assert "secret-token" not in str(refused.value)


def test_without_a_webhook_nothing_is_tried(alerted: Archive) -> None:
    post(alerted, None)
    assert stored(alerted) == (0, False)


# --- the commands ------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the stub model and a manifest, for commands within this process."""
    for name, value in (("HOME", str(tmp_path)), ("MODEL", "stub")):
        monkeypatch.setenv(f"NIGHTREAD_{name}", value)
    monkeypatch.setenv("COLUMNS", "200")
    write_card(tmp_path / "models", STUB_CARD)
    write_manifest(tmp_path / "manifest.csv", 4)
    return tmp_path


def invoke(*arguments: str | Path) -> str:
    """Run a command; gives what it prints, raises what it raises."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def add(
    home: Path, *more: str, times: tuple[str, ...] = ("--cron", "0 2 * * *"), manifest: str = "manifest.csv"
) -> str:
    return invoke("schedule", "add", "night", *times, "score", home / manifest, "--images", home, *more)


def test_a_schedule_is_added_listed_removed_and_added_again(home: Path) -> None:
    assert "schedule night is due next at 20" in add(
        home, times=("--cron", "0 2 * * *", "--timezone", BERLIN)
    )
    listed = invoke("schedule", "list")
    for shown in ("night", "0 2 * * *", BERLIN, "score manifest.csv by stub", "UTC"):
        assert shown in listed
    assert "night is removed" in invoke("schedule", "remove", "night")
    assert "night" not in invoke("schedule", "list")
    add(home)


def test_the_list_shows_what_came_of_the_last_time(home: Path) -> None:
    add(home)
    database = Database(f"sqlite:///{home / 'nightread.db'}")
    (home / "manifest.csv").unlink()
    tick(database, Settings(home=home), datetime.now(UTC) + DAY)
    database.dispose()
    listed = invoke("schedule", "list")
    assert "failed" in listed
    assert "schedule night: " in listed
    assert "there is no such file" in listed
    assert "alert 1, 20" in invoke("status")


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (("--model", "none"), "there is no model 'none'"),
        (("--images", "nowhere"), "no such folder of images"),
        (("--finding-column", "a=Unicorn"), "has no finding Unicorn"),
        (("--image-column", "nothing"), "nothing"),
    ],
)
def test_what_cannot_work_is_refused_at_once(home: Path, more: tuple[str, ...], problem: str) -> None:
    with pytest.raises(Exception, match=problem):
        add(home, *more)
    assert "night" not in invoke("schedule", "list")


@pytest.mark.parametrize(
    ("times", "problem"),
    [
        ((), "times are missing"),
        (("--cron", "0 25 * * *"), "bad hour"),
        (("--cron", "0 2 * * *", "--timezone", "Berlin"), "no time zone"),
    ],
)
def test_times_that_cannot_be_are_refused_at_once(home: Path, times: tuple[str, ...], problem: str) -> None:
    with pytest.raises(JobsError, match=problem):
        add(home, times=times)
    assert "night" not in invoke("schedule", "list")


@pytest.mark.parametrize("name", ["score", "evaluate", "latest"])
def test_a_schedule_may_be_called_as_a_command_is(home: Path, name: str) -> None:
    times = ("--cron", "0 2 * * *")
    invoke("schedule", "add", name, *times, "score", home / "manifest.csv", "--images", home)
    assert f"schedule {name} is removed" in invoke("schedule", "remove", name)


def test_a_schedules_name_may_stand_behind_its_times(home: Path) -> None:
    times = ("--cron", "0 2 * * *", "--timezone", BERLIN)
    invoke("schedule", "add", *times, "night", "score", home / "manifest.csv", "--images", home)
    assert BERLIN in invoke("schedule", "list")


@pytest.mark.usefixtures("home")
def test_help_of_what_a_schedule_does_needs_no_times() -> None:
    assert "Images that the model has scored" in invoke("schedule", "add", "night", "score", "--help")
    assert "--timezone" in invoke("schedule", "add", "--help")
    assert "evaluate …" in invoke("schedule", "add", "night", "--help")


def test_a_manifest_with_a_bad_row_is_refused_with_its_line(home: Path) -> None:
    (home / "bad.csv").write_text("Image Index,Mass\na.png,1\nb.png,2\n")
    with pytest.raises(JobsError, match=r"bad\.csv, line 3, column 'Mass'"):
        add(home, manifest="bad.csv")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("7",), "no complete run 7"),
        (("newest",), "there are no runs yet"),
        (("latest", "--labels", "x.csv"), "--labels and --label-set belong together"),
        (("latest", "--label-set", "readers"), "--labels and --label-set belong together"),
        (("latest", "--labels", "x.csv", "--label-set", "readers"), "x.csv: there is no such file"),
    ],
)
def test_an_evaluation_that_cannot_work_is_refused_at_once(arguments: tuple[str, ...], problem: str) -> None:
    with pytest.raises(Exception, match=problem):
        invoke("schedule", "add", "weekly", "--cron", "0 6 * * MON", "evaluate", *arguments)


@pytest.mark.usefixtures("home")
def test_an_evaluation_of_the_latest_run_is_added_before_there_is_one() -> None:
    invoke("schedule", "add", "weekly", "--cron", "0 6 * * MON", "evaluate", "latest", "--sensitivity", "0.9")
    assert "evaluate the latest run" in invoke("schedule", "list")


def test_relative_paths_are_those_of_the_folder_where_the_schedule_was_added(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    invoke("schedule", "add", "night", "--cron", "0 2 * * *", "score", "manifest.csv", "--images", ".")
    database = Database(f"sqlite:///{home / 'nightread.db'}")
    (schedule,) = schedules.active(database)
    database.dispose()
    assert json.loads(schedule.action)["manifest"] == str(home / "manifest.csv")


def test_the_commands_are_where_the_help_shows_them() -> None:
    root: Any = typer.main.get_command(app)
    group = root.load("schedule")
    assert set(group.commands) == {"add", "list", "remove"}
    assert set(group.commands["add"].commands) == {"score", "evaluate"}
