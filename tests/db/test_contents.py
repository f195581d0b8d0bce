"""Whether a run has read the same bytes of each image as whoever read it before."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sqlalchemy import text
from support import close_run, make_run, score_batches

from config.failures import Reason, Stage
from db import ledger, queries
from db.classifications import Classification
from db.database import Database
from db.outcomes import Failed, Outcome
from db.retries import retry_failed


def tagged(tags: dict[int, str | None]) -> Callable[[Outcome], Outcome]:
    """Give images their tags by their ids, which are rows here; the others' bytes were not read."""

    def with_tag(outcome: Outcome) -> Outcome:
        assert isinstance(outcome, Classification)
        return replace(outcome, tag=tags.get(outcome.image_id))

    return with_tag


def contents(database: Database, run_id: int) -> list[tuple[object, ...]]:
    query = "SELECT image_index, tag, earlier_tag, changed FROM contents WHERE run_id = :run ORDER BY 1"
    with database.read() as connection:
        return [(row[0][7], *row[1:]) for row in connection.execute(text(query), {"run": run_id})]


def test_an_image_is_compared_with_the_newest_earlier_run_that_has_read_it(
    database: Database, tmp_path: Path
) -> None:
    tags: list[dict[int, str | None]] = [
        {1: "a", 2: "a", 3: "a", 4: "a"},
        {1: "a", 2: "b", 3: None, 4: "b"},
        {1: "a", 2: "b", 3: "b", 4: "a", 5: "a"},
    ]
    for of_run in tags:
        made = make_run(database, tmp_path, 6)
        score_batches(database, tmp_path / "models", made, tagged(of_run))
    assert contents(database, 1) == [(str(number), "a", None, None) for number in range(4)]
    assert contents(database, 2) == [("0", "a", "a", 0), ("1", "b", "a", 1), ("3", "b", "a", 1)]
    assert contents(database, 3) == [
        ("0", "a", "a", 0),
        ("1", "b", "b", 0),
        ("2", "b", "a", 1),
        ("3", "a", "b", 1),
        ("4", "a", None, None),
    ]
    assert [queries.count_changed(database, run_id) for run_id in (1, 2, 3)] == [0, 2, 2]


def test_an_image_that_is_tried_again_is_compared_with_the_attempt_before(
    database: Database, tmp_path: Path
) -> None:
    def damaged(outcome: Outcome) -> Outcome:
        if outcome.image_id > 2:
            return outcome
        return Failed(outcome.image_id, Stage.READ, Reason.DAMAGED, "a wrong checksum", "a")

    run_id = make_run(database, tmp_path, 4)
    score_batches(database, tmp_path / "models", run_id, damaged)
    close_run(database, run_id)
    assert retry_failed(database, run_id) == 2
    score_batches(database, tmp_path / "models", run_id, tagged({1: "a", 2: "b"}))
    assert contents(database, run_id) == [("0", "a", "a", 0), ("1", "b", "a", 1)]
    with database.read() as connection:
        earlier = connection.execute(text("SELECT tag FROM earlier_failures")).scalars().all()
    assert earlier == ["a", "a"]


def test_what_a_batch_was_given_back_for_is_the_runs_until_one_is_done(
    database: Database, tmp_path: Path
) -> None:
    run_id = make_run(database, tmp_path, 8, batch_size=4)
    first, second = ledger.take_pending(database, 2)
    held = ledger.claim(database, first.batch_id, "worker", 60.0)
    assert held is not None
    assert ledger.release(database, held, "the bucket does not answer")
    assert queries.progress(database, run_id).waits_for == "the bucket does not answer"
    score_batches(database, tmp_path / "models", run_id)
    assert queries.progress(database, run_id).waits_for is None
    assert second.number == 2
