"""What a child does with its batches, on an SQLite ledger; the broker and the clock are stand-ins."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from fakes import FakeBroker
from sqlalchemy import select
from support import ROOT, STUB_CARD, make_run, score_batches, write_card

from config.settings import Settings
from db import ledger, queries, recovery
from db.database import Database
from db.errors import DatabaseAwayError
from db.outcomes import Outcome
from db.schema.evaluations import evaluation_result
from db.schema.runs import batch
from db.states import BatchState, RunStatus
from jobs.errors import JobsError, SourceAwayError, SourceError
from workers.errors import WrongModelError
from workers.outputs.folder import OutputAwayError
from workers.runtime.child import Child
from workers.scoring.stub import StubScorer

_HEAVY: Final = {"tensorflow", "keras", "pyarrow", "sklearn", "statsmodels", "scipy.stats", "matplotlib"}
"""Libraries of 20 to 800 MB, which a child would keep."""

_EVALUATE: Final = """
import sys
from celery import Celery
from config.settings import load_settings
from jobs.dispatch.broker import Broker
from workers.runtime.child import Child
Child(load_settings(), Broker(Celery()), threads=1).evaluate(int(sys.argv[1]))
print(*sys.modules)
"""


@dataclass
class Clock:
    """Time that passes only where somebody sleeps."""

    now: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "sleep", made.sleep)
    monkeypatch.setattr(time, "monotonic", lambda: made.now)
    return made


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def child(sqlite: Database, tmp_path: Path, broker: FakeBroker) -> Iterator[Child]:
    """A child of a worker whose home holds the ledger of `sqlite`."""
    settings = Settings(home=tmp_path, database_url=sqlite.engine.url.render_as_string(), lease_seconds=60.0)
    made = Child(settings, broker, threads=1)
    yield made
    made._database.dispose()


def away_for(times: int) -> Callable[[], str]:
    """A transaction that finds the database away for the first so many times."""
    left = iter(range(times))

    def transaction() -> str:
        for _ in left:
            raise DatabaseAwayError("the server is gone")
        return "written"

    return transaction


def batches(database: Database) -> list[tuple[BatchState, int]]:
    with database.read() as connection:
        rows = connection.execute(select(batch.c.state, batch.c.attempt).order_by(batch.c.id))
        return [(row.state, row.attempt) for row in rows]


# --- patience ----------------------------------------------------------------------------------------------


def test_a_transaction_is_tried_again_until_the_database_is_back(child: Child, clock: Clock) -> None:
    assert child._patiently(away_for(5)) == "written"
    assert clock.now > 0


def test_patience_ends_with_the_lease_and_the_databases_error_comes_through(
    child: Child, clock: Clock
) -> None:
    with pytest.raises(DatabaseAwayError, match="the server is gone"):
        child._patiently(away_for(1_000_000))
    assert 60.0 <= clock.now < 60.0 + 2 * 6.0, "a pause is at most 5 s and its jitter"


def test_another_error_is_not_met_with_patience(child: Child, clock: Clock) -> None:
    def wrong() -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  # its type is all that it has
        child._patiently(wrong)
    assert clock.now == 0


# --- batches -----------------------------------------------------------------------------------------------


def test_a_batch_that_is_written_has_the_next_one_announced(
    child: Child, broker: FakeBroker, sqlite: Database, tmp_path: Path
) -> None:
    make_run(sqlite, tmp_path, 8, batch_size=4)
    child.score_batch(1)
    assert batches(sqlite) == [(BatchState.DONE, 1), (BatchState.QUEUED, 0)]
    assert (broker.batches, broker.evaluations) == ([2], [])


def test_a_runs_last_batch_has_its_evaluation_announced_and_that_completes_it(
    child: Child, broker: FakeBroker, sqlite: Database, tmp_path: Path
) -> None:
    run_id = make_run(sqlite, tmp_path, 4, batch_size=4)
    child.score_batch(1)
    assert queries.progress(sqlite, run_id).status is RunStatus.EVALUATING
    ((evaluation_id, _),) = broker.evaluations
    child.evaluate(evaluation_id)
    assert queries.progress(sqlite, run_id).status is RunStatus.COMPLETE


def test_a_message_that_comes_twice_scores_once(child: Child, sqlite: Database, tmp_path: Path) -> None:
    make_run(sqlite, tmp_path, 4, batch_size=4)
    child.score_batch(1)
    child.score_batch(1)
    assert batches(sqlite) == [(BatchState.DONE, 1)]


def test_a_batch_of_a_model_that_is_another_here_is_given_back_uncounted(
    child: Child, sqlite: Database, tmp_path: Path
) -> None:
    make_run(sqlite, tmp_path, 4, batch_size=4)
    write_card(tmp_path / "models", STUB_CARD | {"sha256": "f" * 64})
    with pytest.raises(WrongModelError, match="stub"):
        child.score_batch(1)
    assert batches(sqlite) == [(BatchState.PENDING, 0)]


def test_a_batch_that_goes_wrong_is_left_to_the_reconciler_at_once(
    child: Child, sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(_scorer: StubScorer, _held: ledger.Claim) -> list[Outcome]:
        raise RuntimeError

    monkeypatch.setattr(StubScorer, "score", wrong)
    make_run(sqlite, tmp_path, 4, batch_size=4)
    with pytest.raises(RuntimeError):
        child.score_batch(1)
    child.reconcile()
    assert batches(sqlite) == [(BatchState.QUEUED, 1)], "expired, pending, and announced again"


@pytest.mark.parametrize("kind", [SourceError, SourceAwayError, OutputAwayError])
def test_a_batch_whose_images_or_disk_are_away_is_given_back_uncounted_and_the_run_says_so(
    child: Child,
    sqlite: Database,
    tmp_path: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[JobsError],
) -> None:
    def away(_scorer: StubScorer, _held: ledger.Claim) -> list[Outcome]:
        raise kind("the bucket\ndoes not answer")

    score = StubScorer.score
    monkeypatch.setattr(StubScorer, "score", away)
    run_id = make_run(sqlite, tmp_path, 4, batch_size=4)
    pauses = []
    for _ in range(8):
        before = clock.now
        child.score_batch(1)
        pauses.append(clock.now - before)
    assert pauses == [1, 2, 4, 8, 16, 20, 20, 20]
    assert batches(sqlite) == [(BatchState.PENDING, 0)]
    progress = queries.progress(sqlite, run_id)
    assert (progress.failed, progress.waits_for) == (0, "the bucket does not answer")

    monkeypatch.setattr(StubScorer, "score", score)
    child.score_batch(1)
    assert clock.now == sum(pauses)
    assert queries.progress(sqlite, run_id).waits_for is None
    assert batches(sqlite) == [(BatchState.DONE, 1)]


@pytest.mark.processes
def test_a_child_loads_no_statistics_and_no_network_before_it_needs_them() -> None:
    code = "import sys, workers.runtime.child; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "workers.runtime.child" in loaded
    assert not loaded & {*_HEAVY, "pandas", "scipy", "cv2"}


@pytest.mark.processes
def test_a_child_that_has_evaluated_keeps_little_of_it_loaded(sqlite: Database, tmp_path: Path) -> None:
    run_id = make_run(sqlite, tmp_path, 8, batch_size=8)
    score_batches(sqlite, tmp_path / "models")
    (due,) = recovery.close_finished(sqlite, run_id)
    done = subprocess.run(
        [sys.executable, "-c", _EVALUATE, str(due)],
        cwd=ROOT,
        env=os.environ | {"NIGHTREAD_DATABASE_URL": sqlite.engine.url.render_as_string()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    with sqlite.read() as connection:
        written = connection.execute(select(evaluation_result.c.evaluation_id).distinct())
        assert written.scalars().all() == [due]
    assert {"pandas", "scipy.special", "workers.metrics.drift", "workers.evaluation.localisation"} <= loaded
    assert not loaded & _HEAVY
