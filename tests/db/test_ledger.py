"""The ledger's promises, on both databases: nothing lost, nothing written twice, whatever dies when."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fakes import stub_scorer
from sqlalchemy import select, text, update
from support import STUB_CARD, finding_ids, make_run, write_card, write_manifest

from config.failures import Reason, Stage
from config.settings import Settings
from db import evaluations, ledger, queries, recovery, runs
from db.classifications import Classification, FindingScore
from db.database import Database, clock
from db.errors import DatabaseAwayError
from db.ledger import Claim
from db.outcomes import Failed, Outcome
from db.schema.archives import image, manifest
from db.schema.evaluations import evaluation
from db.schema.runs import batch, run
from jobs.submit import Order, submit

LEASE = 30.0


@pytest.fixture
def run_id(database: Database, tmp_path: Path) -> int:
    """A run of 10 images in batches of 4, 4 and 2."""
    return make_run(database, tmp_path, 10)


def claim_all(database: Database) -> list[Claim]:
    announced = ledger.take_pending(database, 1_000)
    claims = [ledger.claim(database, pending.batch_id, "worker", LEASE) for pending in announced]
    return [claim for claim in claims if claim is not None]


def score(database: Database, held: Claim, tmp_path: Path) -> bool:
    stub = stub_scorer(tmp_path / "models")
    return ledger.complete(database, held, stub.score(held))


def expire(database: Database, held: Claim) -> None:
    """Let a lease run out as if its worker had died long ago."""
    with database.write() as connection:
        connection.execute(
            update(batch).where(batch.c.id == held.batch_id).values(lease_expires_at=clock() - 1.0)
        )


def states(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(select(batch.c.state).order_by(batch.c.id)).scalars())


def count(database: Database, view: str) -> int:
    with database.read() as connection:
        found: int = connection.execute(text(f"SELECT COUNT(*) FROM {view}")).scalar_one()
        return found


def test_a_batch_that_is_being_written_keeps_the_reconciler_from_nothing_else(
    postgresql: Database, tmp_path: Path
) -> None:
    make_run(postgresql, tmp_path, 10)
    first, second, _ = claim_all(postgresql)
    expire(postgresql, first)
    expire(postgresql, second)
    with postgresql.write() as writing:  # a worker that stands still within its transaction
        writing.execute(update(batch).where(batch.c.id == first.batch_id).values(worker="frozen"))
        assert recovery.expire_leases(postgresql, max_attempts=3) == 1
        assert states(postgresql) == ["running", "pending", "running"]


def test_postgresql_ends_a_transaction_that_stands_still(
    ready_postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.database.IDLE_TRANSACTION_MS", 200)
    database = Database(ready_postgresql_url)
    make_run(database, tmp_path, 10)
    first, *_ = claim_all(database)
    mine = update(batch).where(batch.c.id == first.batch_id)

    def freeze() -> None:
        with database.write() as frozen:
            frozen.execute(mine.values(worker="frozen"))
            with database.write() as other:  # waits for the lock, and gets it without the frozen one's doing
                other.execute(mine.values(worker="awake"))
            frozen.execute(text("SELECT 1"))

    with pytest.raises(DatabaseAwayError, match="idle-in-transaction"):
        freeze()
    with database.read() as connection:
        assert (
            connection.execute(select(batch.c.worker).where(batch.c.id == first.batch_id)).scalar_one()
            == "awake"
        )
    database.dispose()


def test_a_run_goes_from_committed_batches_to_scores_labels_and_progress(
    database: Database, run_id: int, tmp_path: Path
) -> None:
    assert states(database) == ["pending"] * 3
    for held in claim_all(database):
        assert score(database, held, tmp_path)
    assert states(database) == ["done"] * 3
    progress = queries.progress(database, run_id)
    assert (progress.images, progress.scored, progress.failed, progress.pending) == (10, 10, 0, 0)
    assert count(database, "scores") == count(database, "heatmaps") == 140
    with database.read() as connection:
        rows = connection.execute(
            text("SELECT finding, label FROM scores WHERE image_index = '00000000_000.png' AND label = 1")
        ).all()
    assert [tuple(row) for row in rows] == [("Atelectasis", 1)]


def test_a_batch_is_claimed_by_one_of_many_workers(database: Database, run_id: int) -> None:
    batch_id = ledger.take_pending(database, 1, run_id)[0].batch_id
    barrier = threading.Barrier(8)

    def try_to_claim(_: int) -> Claim | None:
        barrier.wait()
        return ledger.claim(database, batch_id, "worker", LEASE)

    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(try_to_claim, range(8)))
    assert sum(claim is not None for claim in claims) == 1


def test_a_pending_batch_is_announced_once_however_many_ask(database: Database, tmp_path: Path) -> None:
    make_run(database, tmp_path, 120, batch_size=2)
    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda _: ledger.take_pending(database, 25), range(6)))
    ids = [announced.batch_id for part in taken for announced in part]
    assert len(ids) == len(set(ids)) == 60


def test_a_redelivered_message_of_a_leased_or_done_batch_claims_nothing(
    database: Database, run_id: int, tmp_path: Path
) -> None:
    held = claim_all(database)[0]
    assert ledger.claim(database, held.batch_id, "another", LEASE) is None
    score(database, held, tmp_path)
    assert ledger.claim(database, held.batch_id, "another", LEASE) is None
    assert queries.progress(database, run_id).scored == 4


def test_a_copy_that_lost_its_lease_writes_nothing(database: Database, run_id: int, tmp_path: Path) -> None:
    late = claim_all(database)[0]
    expire(database, late)
    assert recovery.expire_leases(database, max_attempts=3) == 1
    assert not ledger.renew(database, late, LEASE)
    ledger.take_pending(database, 10)
    second = ledger.claim(database, late.batch_id, "second", LEASE)
    assert second is not None
    assert not score(database, late, tmp_path)
    assert count(database, "scores") == 0
    assert score(database, second, tmp_path)
    assert not score(database, late, tmp_path)
    assert count(database, "scores") == 4 * 14
    assert queries.progress(database, run_id).scored == 4


def test_a_renewed_lease_does_not_expire(database: Database, run_id: int) -> None:
    held = claim_all(database)[0]
    expire(database, held)
    assert ledger.renew(database, held, LEASE)
    assert recovery.expire_leases(database, max_attempts=3) == 0
    assert run_id == held.run_id


def test_a_released_batch_has_lost_no_attempt(database: Database, run_id: int) -> None:
    held = claim_all(database)[0]
    assert ledger.release(database, held)
    assert not ledger.release(database, held)
    with database.read() as connection:
        row = connection.execute(select(batch).where(batch.c.id == held.batch_id)).one()
    assert (row.state, row.attempt, row.lease_token, row.run_id) == ("pending", 0, None, run_id)


def test_a_batch_that_keeps_killing_workers_is_split_and_its_one_bad_image_failed(
    database: Database, run_id: int, tmp_path: Path
) -> None:
    poison = "00000002_000.png"
    for _ in range(40):  # more rounds than it can take
        recovery.expire_leases(database, max_attempts=3)
        claims = claim_all(database)
        if not claims:
            break
        for held in claims:
            if any(image.image_index == poison for image in held.images):
                expire(database, held)  # its worker died
            else:
                assert score(database, held, tmp_path)
    progress = queries.progress(database, run_id)
    assert (progress.scored, progress.failed, progress.pending) == (9, 1, 0)
    with database.read() as connection:
        failures = connection.execute(text("SELECT image_index, stage, reason FROM failures")).all()
    assert [tuple(row) for row in failures] == [(poison, "worker", "worker_died")]
    assert recovery.close_finished(database) != []


def test_an_abandoned_batch_is_tried_again_at_the_next_reconciliation(
    database: Database, run_id: int
) -> None:
    held = claim_all(database)[0]
    ledger.abandon(database, held)
    assert recovery.expire_leases(database, max_attempts=3) == 1
    again = ledger.take_pending(database, 1, run_id)[0]
    assert again.batch_id == held.batch_id


def test_lost_messages_are_sent_again_and_fresh_ones_are_not(database: Database, run_id: int) -> None:
    assert len(ledger.take_pending(database, 10, run_id)) == 3
    assert not recovery.has_queued_before(database, 5.0)
    assert recovery.requeue_lost(database, 5.0) == 0
    with database.write() as connection:
        connection.execute(update(batch).values(sent_at=clock() - 6.0))
    assert recovery.has_queued_before(database, 5.0)
    assert recovery.requeue_lost(database, 5.0) == 3
    assert len(ledger.take_pending(database, 10, run_id)) == 3


def test_a_claim_carries_its_models_findings_in_the_models_order(database: Database, tmp_path: Path) -> None:
    findings = ["Mass", "Atelectasis", "Hernia"]
    write_card(tmp_path / "models", STUB_CARD | {"findings": findings, "thresholds": [0.5] * 3})
    write_manifest(tmp_path / "manifest.csv", 2)
    run_id = submit(database, Settings(home=tmp_path), Order(tmp_path / "manifest.csv", tmp_path, "stub"))
    (held,) = claim_all(database)
    assert list(held.findings) == findings
    assert held.findings == finding_ids(database, run_id)


@pytest.mark.usefixtures("run_id")
def test_outcomes_of_other_images_are_refused(database: Database, tmp_path: Path) -> None:
    first, second = claim_all(database)[:2]
    stub = stub_scorer(tmp_path / "models")
    with pytest.raises(ValueError, match="outcomes"):
        ledger.complete(database, first, stub.score(second))
    assert count(database, "scores") == 0


def test_a_crash_in_the_middle_of_a_write_leaves_nothing_behind(
    database: Database, run_id: int, tmp_path: Path
) -> None:
    held = claim_all(database)[0]
    outcomes: list[Outcome] = list(stub_scorer(tmp_path / "models").score(held))
    broken = outcomes[-1]
    assert isinstance(broken, Classification)
    outcomes[-1] = Classification(broken.image_id, 1, 1, (FindingScore("not a finding", 0.5),))
    with pytest.raises(KeyError):
        ledger.complete(database, held, outcomes)
    assert count(database, "scores") == 0
    assert queries.progress(database, run_id).scored == 0
    assert score(database, held, tmp_path)


def test_of_many_who_close_a_run_one_makes_its_evaluation_due(
    database: Database, run_id: int, tmp_path: Path
) -> None:
    claims = claim_all(database)
    for held in claims[:-1]:
        score(database, held, tmp_path)
        assert recovery.close_finished(database, run_id) == []
    score(database, claims[-1], tmp_path)
    with ThreadPoolExecutor(6) as pool:
        due = list(pool.map(lambda _: recovery.close_finished(database, run_id), range(6)))
    assert sum(len(ids) for ids in due) == 1
    with database.read() as connection:
        assert len(connection.execute(select(evaluation)).all()) == 1


def test_a_run_with_a_gap_is_broken_and_never_complete(
    database: Database, run_id: int, tmp_path: Path
) -> None:
    for held in claim_all(database):
        score(database, held, tmp_path)
    with database.write() as connection:
        connection.execute(
            text("DELETE FROM image_result WHERE image_id = (SELECT MIN(image_id) FROM image_result)")
        )
    assert recovery.close_finished(database) == []
    progress = queries.progress(database, run_id)
    assert progress.status == "broken"
    assert "10 rows in the manifest but 9 outcomes" in str(progress.message)


def test_a_cancelled_run_is_not_claimed_and_a_resumed_one_is(
    database: Database, run_id: int, tmp_path: Path
) -> None:
    announced = ledger.take_pending(database, 2)
    held = ledger.claim(database, announced[0].batch_id, "worker", LEASE)
    assert held is not None
    assert runs.cancel(database, run_id)
    assert not runs.cancel(database, run_id)
    assert ledger.claim(database, announced[1].batch_id, "worker", LEASE) is None
    assert ledger.take_pending(database, 10) == []
    assert score(database, held, tmp_path), "a batch under way ends"
    assert ledger.count_queued(database) == 0, "its messages hold no place of the window"
    assert runs.resume(database, run_id)
    for again in claim_all(database):
        assert score(database, again, tmp_path)
    assert queries.progress(database, run_id).pending == 0


def test_failed_images_have_stage_reason_and_message(database: Database, run_id: int) -> None:
    held = claim_all(database)[0]
    outcomes = [Failed(image.image_id, Stage.READ, Reason.MISSING, "no such file") for image in held.images]
    assert ledger.complete(database, held, outcomes)
    with database.read() as connection:
        rows = connection.execute(text("SELECT stage, reason, message FROM failures")).all()
    assert {tuple(row) for row in rows} == {("read", "missing", "no such file")}
    assert queries.progress(database, run_id).failed == 4


def test_two_submits_of_a_file_make_two_runs_and_one_set_of_images(
    database: Database, tmp_path: Path
) -> None:
    first, second = make_run(database, tmp_path, 10), make_run(database, tmp_path, 10)
    assert first != second
    with database.read() as connection:
        assert len(connection.execute(select(run)).all()) == 2
        assert len(connection.execute(select(manifest)).all()) == 1
        assert len(connection.execute(select(image)).all()) == 10


def test_a_manifest_that_grew_adds_only_its_new_images(database: Database, tmp_path: Path) -> None:
    make_run(database, tmp_path, 10)
    make_run(database, tmp_path, 15)
    with database.read() as connection:
        assert len(connection.execute(select(manifest)).all()) == 2
        assert len(connection.execute(select(image)).all()) == 15


def test_two_submits_of_a_file_at_the_same_time_agree(database: Database, tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest-10.csv", 10)
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda _: make_run(database, tmp_path, 10), range(4)))
    assert len(set(ids)) == 4
    with database.read() as connection:
        assert len(connection.execute(select(manifest)).all()) == 1


def closing_evaluation(database: Database, tmp_path: Path) -> int:
    for held in claim_all(database):
        score(database, held, tmp_path)
    return recovery.close_finished(database)[0]


def figures(finding_id: int, **values: Any) -> evaluations.Figures:
    row = {"finding_id": finding_id, "subgroup": "all", "n_positive": 1, "n_negative": 2, **values}
    return evaluations.Figures(results=[row])


def test_an_evaluation_is_written_once_and_completes_its_run(
    database: Database, run_id: int, tmp_path: Path
) -> None:
    due = closing_evaluation(database, tmp_path)
    assert evaluations.take_due(database, 60.0) == [(due, run_id)]
    assert evaluations.take_due(database, 60.0) == []
    held = evaluations.claim_evaluation(database, due, LEASE)
    assert held is not None
    assert evaluations.claim_evaluation(database, due, LEASE) is None
    assert queries.progress(database, run_id).status == "evaluating"
    assert evaluations.complete_evaluation(database, held, figures(1, auroc=0.5))
    assert evaluations.complete_evaluation(database, held, figures(2)), "written already, under this token"
    assert queries.progress(database, run_id).status == "complete"
    assert count(database, "auc") == 1


def test_an_evaluation_whose_worker_died_is_due_again_and_given_up_at_the_cap(
    database: Database, run_id: int, tmp_path: Path
) -> None:
    due = closing_evaluation(database, tmp_path)
    for _ in range(3):
        assert evaluations.claim_evaluation(database, due, -1.0) is not None
        assert evaluations.expire_evaluations(database, max_attempts=3) == 1
    progress = queries.progress(database, run_id)
    assert progress.status == "broken"
    assert "evaluation failed 3 times" in str(progress.message)
    assert str(progress.message).endswith(f"once that is mended: nightread evaluate {run_id}")
    with database.read() as connection:
        assert connection.execute(text("SELECT message FROM evaluations")).scalar_one() == progress.message
    # Once the cause is mended, an evaluation by the same labels is all that the run lacked.
    asked = evaluations.EvaluationRequest(manifest_of_run(database, run_id), "manifest")
    with database.write() as connection:
        again = evaluations.ask(connection, run_id, asked)
    held = evaluations.claim_evaluation(database, again, LEASE)
    assert held is not None
    assert evaluations.complete_evaluation(database, held, figures(1))
    progress = queries.progress(database, run_id)
    assert (progress.status, progress.message) == ("complete", None)


def manifest_of_run(database: Database, run_id: int) -> int:
    with database.read() as connection:
        found: int = connection.execute(select(run.c.manifest_id).where(run.c.id == run_id)).scalar_one()
        return found
