"""What a person sees while a run is worked on, and how the command ends; without pauses."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from fakes import stub_scorer
from rich.console import Console
from sqlalchemy import update
from support import LEASE, STUB_CARD, make_run, write_card

from config.settings import Settings
from db import ledger, queries, runs
from db.database import Database
from db.errors import DatabaseAwayError
from db.schema.runs import run
from db.states import RunStatus
from jobs.console import EXIT_INCOMPLETE, EXIT_SOME_FAILED
from jobs.dispatch import follow as module
from jobs.dispatch.follow import _pace, claimed, finish, follow, starting
from jobs.errors import AwayError


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_LOOK_SECONDS", "_AWAY_SECONDS"):
        monkeypatch.setattr(module, name, 0.0)


@pytest.fixture
def run_id(sqlite: Database, tmp_path: Path) -> int:
    return make_run(sqlite, tmp_path, 4)


@pytest.fixture
def console() -> Console:
    """A console that is no terminal, as in a log."""
    return Console(file=StringIO(), width=200)


def printed(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def ticks(*steps: Callable[[], object]) -> Callable[[], None]:
    """A tick that does one step at each look, and fails the test where more are asked for."""
    left: Iterator[Callable[[], object]] = iter(steps)

    def tick() -> None:
        next(left)()

    return tick


def away() -> None:
    raise DatabaseAwayError("the database does not answer: connection refused")


def nothing() -> None:
    pass


# --- follow ------------------------------------------------------------------------------------------------


def test_a_run_is_followed_until_it_is_settled(sqlite: Database, run_id: int, console: Console) -> None:
    ended = follow(sqlite, run_id, console, ticks(nothing, nothing, lambda: runs.cancel(sqlite, run_id)))
    assert (ended.run_id, ended.status) == (run_id, RunStatus.CANCELLED)


def test_a_database_that_is_away_is_told_once_until_it_answers_again(
    sqlite: Database, run_id: int, console: Console
) -> None:
    tick = ticks(away, away, away, nothing, away, away, lambda: runs.cancel(sqlite, run_id))
    assert follow(sqlite, run_id, console, tick).settled
    assert printed(console).count("waiting: the database does not answer: connection refused") == 2


def test_what_is_waited_for_is_one_line_however_long_it_is(
    sqlite: Database, run_id: int, console: Console
) -> None:
    def long() -> None:
        raise AwayError("the broker cannot go on now: " + "its disk is full " * 30)

    follow(sqlite, run_id, console, ticks(long, lambda: runs.cancel(sqlite, run_id)))
    (line,) = [line for line in printed(console).splitlines() if "waiting" in line and "full" in line]
    assert line.count("full") == 30


def test_without_a_terminal_each_change_is_one_line_with_its_time(
    sqlite: Database, run_id: int, console: Console
) -> None:
    follow(sqlite, run_id, console, ticks(nothing, nothing, lambda: runs.cancel(sqlite, run_id)), "starting")
    lines = printed(console).splitlines()
    assert [line[9:] for line in lines] == [
        f" run {run_id}: starting, 0/4 images",
        f" run {run_id}: cancelled, 0/4 images",
    ]
    assert all(re.match(r"\d\d:\d\d:\d\dZ", line) for line in lines)


def score_one(database: Database, models: Path, run_id: int) -> None:
    """Score one batch more."""
    (announced,) = ledger.take_pending(database, 1, run_id)
    held = ledger.claim(database, announced.batch_id, "worker", LEASE)
    assert held is not None
    assert ledger.complete(database, held, stub_scorer(models, held.model).score(held))


@pytest.mark.parametrize(("seconds", "lines"), [(0.0, 4), (1000.0, 3)], ids=["each", "not yet"])
def test_without_a_terminal_new_images_are_told_now_and_then(
    sqlite: Database,
    tmp_path: Path,
    console: Console,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    lines: int,
) -> None:
    monkeypatch.setattr(module, "_LINE_SECONDS", seconds)
    run_id = make_run(sqlite, tmp_path, 3, batch_size=1)
    step = partial(score_one, sqlite, tmp_path / "models", run_id)
    follow(sqlite, run_id, console, ticks(nothing, step, step, lambda: runs.cancel(sqlite, run_id)))
    assert len(printed(console).splitlines()) == lines


def test_a_terminal_has_a_moving_bar_and_a_clock_while_workers_start(sqlite: Database, run_id: int) -> None:
    console = Console(file=StringIO(), width=200, force_terminal=True)
    follow(sqlite, run_id, console, ticks(nothing, lambda: runs.cancel(sqlite, run_id)), "starting 2 workers")
    assert "starting 2 workers" in printed(console)
    assert "0:00:0" in printed(console)


@pytest.mark.parametrize(
    ("children", "model", "said"),
    [
        (1, "stub", "starting 1 worker"),
        (2, "stub", "starting 2 workers"),
        (2, "demo", "starting 2 workers, loading model demo (about 20 s)"),
    ],
)
def test_a_person_is_told_what_starts_and_how_long_it_takes(
    tmp_path: Path, children: int, model: str, said: str
) -> None:
    write_card(tmp_path / "models", STUB_CARD)
    assert starting(Settings(home=tmp_path, children=children), model) == said


@pytest.mark.parametrize(("engine", "seconds"), [("openvino", 4), ("tensorflow", 20)])
def test_a_network_that_was_exported_before_is_loaded_soon(tmp_path: Path, engine: str, seconds: int) -> None:
    settings = Settings.model_validate({"home": tmp_path, "children": 1, "engine": engine})
    (settings.graphs / "demo").mkdir(parents=True)
    (settings.graphs / "demo" / "maps.graph").touch()
    assert starting(settings, "demo") == f"starting 1 worker, loading model demo (about {seconds} s)"


@pytest.mark.parametrize(
    ("speed", "total", "completed", "shown"),
    [
        (None, 100, 0, ""),
        (0.0, 100, 0, ""),
        (2.0, None, 0, ""),
        (2.0, 100, 40, "2.0 images/s, 0:00:30 left"),
        (0.5, 8_000, 0, "0.5 images/s, 4:26:40 left"),
        (12.34, 100, 100, "12.3 images/s"),
        (0.04, 10, 8, "2.4 images/min, 0:00:50 left"),
    ],
)
def test_the_pace_is_images_per_second_and_the_time_left(
    speed: float | None, total: float | None, completed: float, shown: str
) -> None:
    assert _pace(speed, total, completed, "image") == shown


# --- the end -----------------------------------------------------------------------------------------------


def end_of(database: Database, run_id: int, **facts: Any) -> int | str | None:
    """The exit code of a run with these facts."""
    with pytest.raises(SystemExit) as ended:
        finish(database, replace(queries.progress(database, run_id), **facts))
    return ended.value.code


def test_a_complete_run_ends_with_0_and_says_how_many_were_scored(
    sqlite: Database, run_id: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end_of(sqlite, run_id, status=RunStatus.COMPLETE, scored=4, pending=0) == 0
    *_, counts, where, then = capsys.readouterr().out.splitlines()
    assert counts == f"run {run_id}: 4 of 4 images scored, 0 failed"
    assert where.startswith("database: /")
    assert then == f"next: nightread report {run_id}"


def test_a_run_that_was_worked_on_here_ends_with_its_time_and_where_its_overlays_are(
    sqlite: Database, run_id: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overlays = tmp_path / "heatmaps" / f"run-{run_id:06d}"
    overlays.mkdir(parents=True)
    ended = replace(queries.progress(sqlite, run_id), status=RunStatus.COMPLETE, scored=4, pending=0)
    with claimed(sqlite, Settings(home=tmp_path)) as place, pytest.raises(SystemExit):
        finish(sqlite, ended, place)
    printed = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"run \d: 4 of 4 images scored, 0 failed, in 0:00:0\d", printed[-4])
    assert printed[-2] == f"overlays, one folder per finding: {overlays}"


def test_a_complete_run_with_failed_images_ends_with_a_code_of_its_own(sqlite: Database, run_id: int) -> None:
    assert end_of(sqlite, run_id, status=RunStatus.COMPLETE, scored=3, failed=1) == EXIT_SOME_FAILED


def test_a_run_of_which_nothing_could_be_scored_is_no_success(
    sqlite: Database, run_id: int, capsys: pytest.CaptureFixture[str]
) -> None:
    why = "none of its 4 images could be scored"
    facts = {"status": RunStatus.FAILED, "scored": 0, "failed": 4, "message": why}
    assert end_of(sqlite, run_id, **facts) == EXIT_INCOMPLETE
    assert f"run {run_id} is failed: {why}" in capsys.readouterr().err


@pytest.mark.parametrize("status", [RunStatus.CANCELLED, RunStatus.BROKEN])
def test_a_run_that_did_not_complete_ends_as_incomplete_and_says_why(
    sqlite: Database, run_id: int, status: RunStatus, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end_of(sqlite, run_id, status=status, message="an image is missing") == EXIT_INCOMPLETE
    assert f"run {run_id} is {status}: an image is missing" in capsys.readouterr().err


def test_a_cancelled_run_ends_with_what_there_is_of_it_and_how_it_goes_on(
    sqlite: Database, run_id: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overlays = tmp_path / "heatmaps" / f"run-{run_id:06d}"
    overlays.mkdir(parents=True)
    ended = replace(
        queries.progress(sqlite, run_id), status=RunStatus.CANCELLED, scored=2, failed=1, pending=1
    )
    with claimed(sqlite, Settings(home=tmp_path)) as place, pytest.raises(SystemExit):
        finish(sqlite, ended, place)
    said = capsys.readouterr()
    counts, where, beside = said.out.splitlines()
    assert re.fullmatch(rf"run {run_id}: 2 of 4 images scored, 1 failed, 1 left, in 0:00:0\d", counts)
    assert where.startswith("database: /")
    assert beside == f"overlays, one folder per finding: {overlays}"
    assert said.err == f"error: run {run_id} is cancelled; to go on: nightread resume {run_id}\n"


def test_a_run_that_another_command_broke_is_followed_no_longer(
    sqlite: Database, run_id: int, console: Console
) -> None:
    def broken() -> None:
        with sqlite.write() as connection:
            connection.execute(update(run).values(status=RunStatus.BROKEN))

    assert follow(sqlite, run_id, console, ticks(broken)).status is RunStatus.BROKEN
