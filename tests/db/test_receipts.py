"""What is repeated after its COMMIT was not answered happens once, whatever it is."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from pathlib import Path

import pytest
from fakes import stub_scorer
from sqlalchemy import Connection, func, insert, select, text, update
from support import finding_ids, make_run, score_batches

from config.failures import Reason, Stage
from db import evaluations, ledger, recovery, runs, schedules
from db.comparisons import Comparisons, write_comparison
from db.database import Database
from db.errors import DatabaseAwayError
from db.evaluations import EvaluationRequest, Figures
from db.leases import new_token
from db.outcomes import Failed, Outcome
from db.receipts import patiently, write_once
from db.retries import retry_failed
from db.schema.archives import finding
from db.schema.evaluations import comparison, evaluation
from db.schema.receipts import receipt
from db.schema.runs import batch, earlier_failure, run
from db.schema.schedules import schedule
from db.states import BatchState

LEASE = 30.0


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


@pytest.fixture
def unanswered(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Has the next two commits' answers lost, when called: the first did not happen, the second did."""
    fates: Iterator[str] = repeat("answered")
    write = Database.write

    @contextmanager
    def cut(database: Database) -> Iterator[Connection]:
        fate = next(fates)
        with write(database) as connection:
            yield connection
            if fate == "before":
                raise DatabaseAwayError(fate)
        if fate == "after":
            raise DatabaseAwayError(fate)

    def begin() -> None:
        nonlocal fates
        fates = chain(["before", "after"], repeat("answered"))

    monkeypatch.setattr(Database, "write", cut)
    return begin


def count(database: Database, query: str) -> int:
    with database.read() as connection:
        found: int = connection.execute(text(query)).scalar_one()
        return found


# --- receipts ----------------------------------------------------------------------------------------------


def test_a_transaction_happens_once_and_its_first_answer_is_kept(
    database: Database, unanswered: Callable[[], None]
) -> None:
    calls = []

    def write(connection: Connection) -> list[object]:
        calls.append(1)
        name = f"finding {len(calls)}"
        return [
            connection.execute(insert(finding).values(name=name).returning(finding.c.name)).scalar(),
            None,
        ]

    unanswered()
    assert write_once(database, write) == ["finding 2", None]
    assert len(calls) == 2, "the first did not happen, the second did, the third only asked"
    assert count(database, "SELECT COUNT(*) FROM finding WHERE name LIKE 'finding %'") == 1


def test_receipts_are_kept_for_a_day(sqlite: Database) -> None:
    with sqlite.write() as connection:
        old = datetime.now(UTC) - timedelta(days=2)
        connection.execute(insert(receipt).values(token="old", answer="1", written_at=old))
    assert write_once(sqlite, lambda _: 7) == 7
    with sqlite.read() as connection:
        assert connection.execute(select(receipt.c.answer)).scalars().all() == ["7"]


def test_what_is_wrong_is_not_repeated(sqlite: Database) -> None:
    def wrong(_: Connection) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_once(sqlite, wrong)
    assert count(sqlite, "SELECT COUNT(*) FROM receipt") == 0


def test_patience_ends(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    moments = iter(range(0, 1_000, 10))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(moments)))

    def away() -> None:
        raise DatabaseAwayError("the server is gone")

    with pytest.raises(DatabaseAwayError):
        patiently(away, 30.0)
    assert caplog.messages == ["waiting: the server is gone"], "it is said once"


# --- what commands write -----------------------------------------------------------------------------------


def test_an_order_is_one_run(sqlite: Database, tmp_path: Path, unanswered: Callable[[], None]) -> None:
    unanswered()
    assert make_run(sqlite, tmp_path, 4) == 1
    assert count(sqlite, "SELECT COUNT(*) FROM run") == 1


def test_a_schedule_is_added_and_removed_once(sqlite: Database, unanswered: Callable[[], None]) -> None:
    now = datetime.now(UTC)
    unanswered()
    added = schedules.add(
        sqlite, name="night", cron="0 2 * * *", timezone="UTC", action="{}", margin=0.1, now=now
    )
    unanswered()
    schedules.remove(sqlite, "night", now)
    with sqlite.read() as connection:
        (row,) = connection.execute(select(schedule.c.id, schedule.c.removed_at)).all()
    assert (row.id, row.removed_at) == (added, now)


def test_a_run_is_cancelled_and_resumed_as_if_asked_once(
    sqlite: Database, tmp_path: Path, unanswered: Callable[[], None]
) -> None:
    run_id = make_run(sqlite, tmp_path, 4)
    unanswered()
    assert runs.cancel(sqlite, run_id)
    unanswered()
    assert runs.resume(sqlite, run_id)


def test_failed_images_are_tried_again_once(
    sqlite: Database, tmp_path: Path, unanswered: Callable[[], None]
) -> None:
    def missing(outcome: Outcome) -> Outcome:
        return Failed(outcome.image_id, Stage.READ, Reason.MISSING, "")

    run_id = make_run(sqlite, tmp_path, 4)
    score_batches(sqlite, tmp_path / "models", change=missing)
    assert recovery.close_finished(sqlite, run_id) == [], "nothing is there to evaluate"
    unanswered()
    assert retry_failed(sqlite, run_id) == 4
    with sqlite.read() as connection:
        assert connection.execute(select(func.count()).select_from(earlier_failure)).scalar() == 4
        assert connection.execute(select(run.c.batches)).scalar() == 2


def test_evaluations_and_comparisons_are_written_once(
    sqlite: Database, tmp_path: Path, unanswered: Callable[[], None]
) -> None:
    run_id = make_run(sqlite, tmp_path, 4)
    wanted = EvaluationRequest(1, "manifest")
    unanswered()
    write_once(sqlite, lambda connection: evaluations.ask(connection, run_id, wanted))
    unanswered()
    write_once(
        sqlite,
        lambda connection: write_comparison(connection, 1, 1, 1, "manifest", Comparisons(4, [])),
    )
    with sqlite.read() as connection:
        for table in (evaluation, comparison):
            assert connection.execute(select(func.count()).select_from(table)).scalar() == 1


# --- what workers write ------------------------------------------------------------------------------------


def test_a_claim_that_was_committed_is_found_again_and_counts_once(
    database: Database, tmp_path: Path, unanswered: Callable[[], None]
) -> None:
    make_run(database, tmp_path, 4)
    token = new_token()
    unanswered()
    held = patiently(lambda: ledger.claim(database, 1, "worker", LEASE, token))
    assert held is not None
    assert (held.attempt, held.token, len(held.images)) == (1, token, 4)
    assert ledger.claim(database, 1, "another", LEASE) is None, "only under the very token"


def test_results_that_were_committed_count_as_written(
    database: Database, tmp_path: Path, unanswered: Callable[[], None]
) -> None:
    make_run(database, tmp_path, 4)
    held = ledger.claim(database, 1, "worker", LEASE)
    assert held is not None
    outcomes = stub_scorer(tmp_path / "models").score(held)
    unanswered()
    assert patiently(lambda: ledger.complete(database, held, outcomes))
    assert count(database, "SELECT COUNT(*) FROM image_result") == 4


def test_results_of_another_claim_do_not_count_as_this_ones(database: Database, tmp_path: Path) -> None:
    make_run(database, tmp_path, 4)
    first = ledger.claim(database, 1, "first", LEASE)
    assert first is not None
    with database.write() as connection:
        connection.execute(update(batch).values(state=BatchState.PENDING, lease_token=None))
    second = ledger.claim(database, 1, "second", LEASE)
    assert second is not None
    outcomes = stub_scorer(tmp_path / "models").score(second)
    assert ledger.complete(database, second, outcomes)
    assert not ledger.complete(database, first, outcomes)


def test_an_evaluation_is_claimed_and_written_once(
    sqlite: Database, tmp_path: Path, unanswered: Callable[[], None]
) -> None:
    run_id = make_run(sqlite, tmp_path, 4)
    with sqlite.write() as connection:
        due = evaluations.ask(connection, run_id, EvaluationRequest(1, "manifest"))
    token = new_token()
    unanswered()
    held = patiently(lambda: evaluations.claim_evaluation(sqlite, due, LEASE, token))
    assert held is not None
    ids = finding_ids(sqlite, run_id)
    rows = [{"subgroup": "all", "finding_id": id_, "n_positive": 1, "n_negative": 3} for id_ in ids.values()]
    unanswered()
    assert patiently(lambda: evaluations.complete_evaluation(sqlite, held, Figures(results=rows)))
    assert count(sqlite, "SELECT COUNT(*) FROM evaluation_result") == len(rows)
    assert count(sqlite, "SELECT attempt FROM evaluation") == 1
