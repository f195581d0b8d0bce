"""The ledger in numbers, by a run whose images were scored, failed, retried and left behind."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from support import LEASE, close_run, make_run, score_batches

from config.failures import Reason, Stage
from db import deletion, ledger, recovery
from db.database import Database
from db.measures import RATE_SECONDS, Measures, measure
from db.outcomes import Failed, Outcome
from db.retries import retry_failed
from db.schema.runs import batch


def test_an_empty_ledger_has_zeros_and_no_moments(database: Database) -> None:
    found = measure(database, datetime.now(UTC))
    assert set(found.batches.values()) == set(found.runs.values()) == {0}
    assert (found.scored, found.failed, found.retries, found.overdue) == (0, {}, 0, 0)
    assert (found.oldest_open, found.last_batch, found.last_evaluation) == (None, None, None)
    assert found.images_per_second == 0


def every_third_damaged(outcome: Outcome) -> Outcome:
    if outcome.image_id % 3:
        return outcome
    return Failed(outcome.image_id, Stage.READ, Reason.DAMAGED, "a wrong checksum")


def test_what_was_scored_failed_and_is_open_is_counted(database: Database, tmp_path: Path) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    whole = make_run(database, tmp_path, 12)
    score_batches(database, tmp_path / "models", whole, every_third_damaged)
    close_run(database, whole)
    make_run(database, tmp_path, 6)
    first, _second = ledger.take_pending(database, 10)
    assert ledger.claim(database, first.batch_id, "worker", -1.0) is not None

    now = datetime.now(UTC) + timedelta(seconds=1)
    found = measure(database, now)
    assert (found.scored, found.failed) == (8, {("read", "damaged"): 4})
    assert {state: count for state, count in found.batches.items() if count} == {
        "done": 3,
        "running": 1,
        "queued": 1,
    }
    assert {status: count for status, count in found.runs.items() if count} == {"complete": 1, "running": 1}
    assert found.overdue == 1
    assert found.images_per_second == pytest.approx(12 / RATE_SECONDS)
    for moment in (found.oldest_open, found.last_batch, found.last_evaluation):
        assert moment is not None
        assert began < moment < now
    assert measure(database, now + timedelta(seconds=2 * RATE_SECONDS)).images_per_second == 0


def test_attempts_beyond_the_first_and_the_seconds_of_a_batch_are_summed(
    database: Database, tmp_path: Path
) -> None:
    make_run(database, tmp_path, 4)
    (announced,) = ledger.take_pending(database, 1)
    held = ledger.claim(database, announced.batch_id, "worker", LEASE)
    assert held is not None
    ledger.abandon(database, held)
    assert recovery.expire_leases(database, max_attempts=3) == 1
    for _ in range(2):
        held = ledger.claim(database, announced.batch_id, "worker", LEASE)
        assert held is not None
        assert measure(database, datetime.now(UTC)).retries == 1
        assert ledger.release(database, held, "the store is away")
        assert measure(database, datetime.now(UTC)).retries == 1, "it never falls"
    begun = datetime(2026, 3, 1, 2, tzinfo=UTC)
    with database.write() as connection:
        connection.execute(
            update(batch).values(
                state="done",
                attempt=2,
                sent_at=begun.timestamp(),
                started_at=begun + timedelta(seconds=30),
                finished_at=begun + timedelta(seconds=42),
            )
        )
    found = measure(database, datetime.now(UTC))
    assert found.retries == 1
    assert found.seconds == {"queue": pytest.approx(30, abs=0.01), "work": pytest.approx(12, abs=0.01)}


def counters(found: Measures) -> tuple[object, ...]:
    return found.scored, found.failed, found.retries, found.seconds


def test_no_counter_falls_when_failures_are_tried_again_or_runs_deleted(
    database: Database, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    runs = [make_run(database, tmp_path, 12), make_run(database, tmp_path, 9)]
    for run_id in runs:
        score_batches(database, models, run_id, every_third_damaged)
        close_run(database, run_id)
    with database.write() as connection:
        connection.execute(update(batch).values(attempt=3))
    before = measure(database, datetime.now(UTC))
    damaged = ("read", "damaged")
    assert (before.scored, before.failed, before.retries) == (14, {damaged: 7}, 12)
    assert before.seconds["work"] > 0

    assert retry_failed(database, runs[0]) == 4
    assert counters(measure(database, datetime.now(UTC))) == counters(before)
    score_batches(database, models, runs[0])
    close_run(database, runs[0])
    again = measure(database, datetime.now(UTC))
    assert (again.scored, again.failed) == (14 + 4, before.failed)

    for run_id in runs:  # the second one adds to what the first has left
        deletion.mark(database, run_id)
        deletion.mark(database, run_id)
        now = measure(database, datetime.now(UTC))
        assert counters(now)[:3] == counters(again)[:3]
        assert now.seconds == pytest.approx(again.seconds)
        for _ in deletion.delete_rows(database, run_id):
            assert measure(database, datetime.now(UTC)).scored == again.scored
    gone = measure(database, datetime.now(UTC))
    assert counters(gone)[:3] == counters(again)[:3]
    assert gone.runs["deleted"] == 2
