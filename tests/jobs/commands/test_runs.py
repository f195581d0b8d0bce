"""Which run a word means, wherever a command takes one."""

import pytest
from support import STUB_CARD, Nightread, make_run, write_card

from config.settings import Settings
from jobs.submit import Order, submit


@pytest.fixture
def runs(nightread: Nightread) -> Nightread:
    """Run 1 of the model stub over manifest-3.csv, run 2 of the model other over manifest-4.csv."""
    assert nightread.call("db", "upgrade").returncode == 0
    database = nightread.database()
    make_run(database, nightread.home, 3)
    make_run(database, nightread.home, 4)
    write_card(nightread.home / "models", STUB_CARD | {"name": "other", "sha256": "1" * 64})
    order = Order(nightread.home / "manifest-4.csv", nightread.home, "other")
    submit(database, Settings(home=nightread.home), order)
    return nightread


@pytest.mark.parametrize(
    ("word", "run_id"),
    [("1", 1), ("0002", 2), ("last", 3), ("stub", 2), ("other", 3), ("manifest-3", 1), ("manifest-3.csv", 1)],
)
def test_a_run_is_found_by_number_as_the_last_and_by_name(runs: Nightread, word: str, run_id: int) -> None:
    done = runs.call("failures", word)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"run {run_id} is running")


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("9", "there is no run 9"),
        (
            "othr",
            "there is no run 'othr': a run is a number, last, or a model's or manifest's name; is other",
        ),
        ("", "there is no run ''"),
        ("0", "0 is no run's number"),
        ("9" * 30, "is no run's number"),
        ("٣", "there is no run"),
    ],
)
def test_a_run_that_is_not_there_is_said(runs: Nightread, word: str, says: str) -> None:
    refused = runs.call("failures", word)
    assert refused.returncode == 2
    assert says in " ".join(refused.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    "command", [("failures", "last"), ("report", "1"), ("worklist", "demo"), ("cancel", "1")]
)
def test_a_home_without_runs_is_said_and_left_as_it_is(
    nightread: Nightread, command: tuple[str, ...]
) -> None:
    refused = nightread.call(*command)
    assert refused.returncode == 2
    assert f"there are no runs yet in {nightread.home}" in refused.stderr
    assert not (nightread.home / "nightread.db").exists()


@pytest.mark.parametrize(("option", "says"), [((), "there are no runs yet in"), (("--json",), "[]")])
def test_a_status_without_runs_is_no_error_and_makes_nothing(
    nightread: Nightread, option: tuple[str, ...], says: str
) -> None:
    done = nightread.call("status", *option)
    assert (done.returncode, done.stdout.startswith(says)) == (0, True)
    assert not (nightread.home / "nightread.db").exists()
