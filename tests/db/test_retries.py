"""A complete run's failed images are scored again in the same run, and nothing else changes."""

from pathlib import Path

import pytest
from sqlalchemy import text
from support import close_run, make_run, score_batches

from config.failures import Reason, Stage
from db import queries, recovery
from db.classifications import Classification
from db.database import Database
from db.errors import DatabaseError, UnknownRunError
from db.outcomes import Failed, Outcome
from db.retries import retry_failed
from db.states import RunStatus

IMAGES = 23
MISSING = {3, 4, 5, 6, 7, 20}
DAMAGED = {1, 23}


def with_failures(outcome: Outcome) -> Outcome:
    """Ids are rows here: the only archive's images were written in the manifest's order."""
    assert isinstance(outcome, Classification)
    if outcome.image_id in MISSING:
        return Failed(outcome.image_id, Stage.READ, Reason.MISSING, "there is no such file")
    if outcome.image_id in DAMAGED:
        return Failed(outcome.image_id, Stage.READ, Reason.DAMAGED, "a wrong checksum")
    return outcome


@pytest.fixture
def run_id(database: Database, tmp_path: Path) -> int:
    """A complete run with eight failed images of 23, in batches of four."""
    made = make_run(database, tmp_path, IMAGES, batch_size=4)
    score_batches(database, tmp_path / "models", made, with_failures)
    close_run(database, made)
    return made


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def names(numbers: set[int]) -> set[str]:
    return {f"{number - 1:08d}_000.png" for number in numbers}


def test_failed_images_are_scored_in_the_same_run_and_their_failures_kept(
    database: Database, run_id: int, tmp_path: Path
) -> None:
    before = rows(database, "SELECT image_index, finding, probability FROM scores ORDER BY 1, 2")
    assert retry_failed(database, run_id) == 8
    progress = queries.progress(database, run_id)
    assert (progress.status, progress.finished_at) == (RunStatus.RUNNING, None)
    assert (progress.scored, progress.failed, progress.pending) == (15, 0, 8)
    score_batches(database, tmp_path / "models", run_id)
    close_run(database, run_id)
    progress = queries.progress(database, run_id)
    assert (progress.status, progress.scored, progress.failed) == (RunStatus.COMPLETE, IMAGES, 0)
    after = rows(database, "SELECT image_index, finding, probability FROM scores ORDER BY 1, 2")
    assert len(after) == IMAGES * 14
    assert set(before) < set(after)
    assert rows(database, "SELECT COUNT(*) FROM failures") == [(0,)]
    kept = rows(database, "SELECT image_index, stage, reason, message FROM earlier_failures")
    assert {row[0] for row in kept} == names(MISSING | DAMAGED)
    assert {row[1:] for row in kept} == {
        ("read", "missing", "there is no such file"),
        ("read", "damaged", "a wrong checksum"),
    }
    assert rows(database, "SELECT evaluation_id, state, closes_run FROM evaluations ORDER BY 1") == [
        (1, "done", False),
        (2, "done", True),
    ]


def test_only_the_images_of_a_reason_are_tried_again_in_batches_of_the_runs_size(
    database: Database, run_id: int
) -> None:
    assert retry_failed(database, run_id, Reason.MISSING) == len(MISSING)
    made = "SELECT number, first_row, last_row FROM batch WHERE state = 'pending' ORDER BY number"
    assert rows(database, made) == [(7, 3, 6), (8, 7, 7), (9, 20, 20)]
    assert rows(database, "SELECT batches FROM run") == [(9,)]
    left = rows(database, "SELECT image_index, reason FROM failures")
    assert set(left) == {(name, "damaged") for name in names(DAMAGED)}
    assert queries.progress(database, run_id).failed == len(DAMAGED)


def test_an_image_that_fails_again_keeps_both_failures(
    database: Database, run_id: int, tmp_path: Path
) -> None:
    for turn in (1, 2):
        assert retry_failed(database, run_id, Reason.DAMAGED) == len(DAMAGED)
        score_batches(database, tmp_path / "models", run_id, with_failures)
        close_run(database, run_id)
        kept = rows(database, "SELECT image_index FROM earlier_failures")
        assert len(kept) == turn * len(DAMAGED)
        assert queries.progress(database, run_id).failed == 8


def test_a_run_without_failures_of_a_reason_is_left_complete(database: Database, run_id: int) -> None:
    assert retry_failed(database, run_id, Reason.TRUNCATED) == 0
    assert queries.progress(database, run_id).status == RunStatus.COMPLETE


def test_a_run_that_has_not_ended_or_is_not_there_is_refused(database: Database, run_id: int) -> None:
    assert retry_failed(database, run_id) == 8
    with pytest.raises(DatabaseError, match=f"run {run_id} is running"):
        retry_failed(database, run_id)
    with pytest.raises(UnknownRunError, match="no run 99"):
        retry_failed(database, 99)
    assert rows(database, "SELECT COUNT(*) FROM earlier_failures") == [(8,)]


def all_missing(outcome: Outcome) -> Outcome:
    return Failed(outcome.image_id, Stage.READ, Reason.MISSING, "there is no such file")


def test_a_run_of_which_nothing_was_scored_has_failed_and_is_opened_again(
    database: Database, tmp_path: Path
) -> None:
    run_id = make_run(database, tmp_path, IMAGES, batch_size=4)
    score_batches(database, tmp_path / "models", run_id, all_missing)
    assert recovery.close_finished(database, run_id) == [], "there is nothing to evaluate"
    progress = queries.progress(database, run_id)
    assert (progress.status, progress.failed) == (RunStatus.FAILED, IMAGES)
    assert progress.finished_at is not None
    assert "23 images" in str(progress.message)
    assert "missing (23)" in str(progress.message)
    assert f"nightread resume {run_id} --failed" in str(progress.message)
    assert retry_failed(database, run_id, Reason.DAMAGED) == 0
    assert queries.progress(database, run_id).status == RunStatus.FAILED

    assert retry_failed(database, run_id) == IMAGES
    assert queries.progress(database, run_id).message is None
    score_batches(database, tmp_path / "models", run_id)
    close_run(database, run_id)
    progress = queries.progress(database, run_id)
    assert (progress.status, progress.scored, progress.failed) == (RunStatus.COMPLETE, IMAGES, 0)
