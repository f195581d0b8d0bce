"""Deleting runs: all of a run's rows and nothing else, on both databases, however often it is cut off."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, text, update
from support import close_run, make_run, score_batches

from db import deletion, ledger, queries, runs, schedules
from db.comparisons import Comparisons, write_comparison
from db.database import Database
from db.deletion import Naming, RunInUseError
from db.deliveries import plan
from db.errors import UnknownRunError
from db.evaluations import EvaluationRequest, ask
from db.manifests import delete_unneeded, find_or_write_manifest
from db.runs import create_run, unscored_rows
from db.schema import metadata
from db.schema.archives import manifest, manifest_row
from db.schema.deliveries import sending
from db.schema.evaluations import evaluation
from db.schema.runs import batch, run, score
from db.schema.schedules import alert, schedule
from db.states import RunStatus

LEASE = 60.0
NOW = datetime(2026, 3, 1, tzinfo=UTC)

OF_IMAGES = ("scores", "heatmaps", "failures", "worklist", "deliveries", "earlier_failures")
"""Views of a run's images."""


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletion, "IMAGES_AT_ONCE", 3)
    monkeypatch.setattr(deletion, "_ROWS_AT_ONCE", 2)


def complete_run(database: Database, folder: Path, images: int = 10) -> int:
    run_id = make_run(database, folder, images)
    score_batches(database, folder / "models", run_id)
    close_run(database, run_id)
    plan(database, run_id, "pacs", ["dicom-sr"])
    return run_id


def rows_of(database: Database, run_id: int) -> dict[str, int]:
    """Rows that name a run, by table; of its evaluations, too."""
    evaluations = select(evaluation.c.id).where(evaluation.c.run_id == run_id)
    counted = {}
    with database.read() as connection:
        for table in metadata.tables.values():
            if "run_id" in table.c:
                mine = table.c.run_id == run_id
            elif "evaluation_id" in table.c:
                mine = table.c.evaluation_id.in_(evaluations)
            else:
                continue
            counted[table.name] = connection.execute(select(func.count()).where(mine)).scalar_one()
    return {name: rows for name, rows in counted.items() if rows}


def seen(database: Database, run_id: int) -> dict[str, int]:
    """Rows of a run in the views of its images."""
    with database.read() as connection:
        return {
            view: connection.execute(
                text(f"SELECT COUNT(*) FROM {view} WHERE run_id = {run_id}")
            ).scalar_one()
            for view in OF_IMAGES
        }


def delete(database: Database, run_id: int, *, force: bool = False) -> int:
    deletion.mark(database, run_id, force=force)
    return sum(deletion.delete_rows(database, run_id))


def test_a_deleted_run_leaves_no_row_and_the_other_run_all_of_its(database: Database, tmp_path: Path) -> None:
    first, other = complete_run(database, tmp_path), complete_run(database, tmp_path, 7)
    before, visible = rows_of(database, other), seen(database, other)
    assert before["score"] == 7 * 14
    assert delete(database, first) == 10
    assert rows_of(database, first) == {}
    assert (rows_of(database, other), seen(database, other)) == (before, visible)
    assert queries.progress(database, first).status == "deleted"
    assert [found.run_id for found in queries.all_progress(database)] == [other]


def test_every_table_that_names_a_run_or_an_evaluation_is_accounted_for() -> None:
    of_runs = {name for name, table in metadata.tables.items() if {"run_id", "run_a"} & set(table.c.keys())}
    known = (*deletion.OF_IMAGES, *deletion.OF_RUN, *deletion.KEPT, batch)
    assert of_runs == {table.name for table in known}
    of_evaluations = {name for name, table in metadata.tables.items() if "evaluation_id" in table.c}
    assert of_evaluations == {table.name for table in deletion.OF_EVALUATION} | {"alert", "schedule_due"}


def test_a_deletion_that_is_cut_off_shows_nothing_and_ends_when_it_is_repeated(
    database: Database, tmp_path: Path
) -> None:
    run_id, other = complete_run(database, tmp_path), complete_run(database, tmp_path, 7)
    visible = seen(database, other)
    deletion.mark(database, run_id)
    assert next(deletion.delete_rows(database, run_id)) == 3
    assert rows_of(database, run_id)["score"] == 7 * 14
    assert set(seen(database, run_id).values()) == {0}
    assert seen(database, other) == visible
    half = queries.progress(database, run_id)
    assert (half.status, half.scored, half.pending) == ("deleting", 0, 0)
    assert deletion.marked(database) == [run_id]
    assert queries.newest_run(database, "stub") == other
    with database.write() as connection:
        model_id, manifest_id = connection.execute(
            select(run.c.model_id, run.c.manifest_id).where(run.c.id == run_id)
        ).one()
        assert sum(last - first + 1 for first, last in unscored_rows(connection, manifest_id, model_id)) == 3
    assert delete(database, run_id) == 7
    assert (rows_of(database, run_id), deletion.marked(database)) == ({}, [])
    assert delete(database, run_id) == 0


def test_a_cut_off_transaction_is_as_if_it_had_not_begun(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = complete_run(database, tmp_path)
    before = rows_of(database, run_id)
    with monkeypatch.context() as patch:
        patch.setattr(deletion, "OF_IMAGES", (score, text("broken")))
        deletion.mark(database, run_id)
        with pytest.raises(AttributeError):
            next(deletion.delete_rows(database, run_id))
    assert rows_of(database, run_id)["score"] == before["score"]
    assert delete(database, run_id) == 10


def test_a_number_is_given_once(database: Database, tmp_path: Path) -> None:
    newest = complete_run(database, tmp_path)
    delete(database, newest)
    assert make_run(database, tmp_path, 10) == newest + 1


def test_a_run_at_work_is_refused(database: Database, tmp_path: Path) -> None:
    run_id = make_run(database, tmp_path, 10)
    with pytest.raises(RunInUseError, match=f"nightread cancel {run_id}"):
        deletion.mark(database, run_id, force=True)
    (taken, *_) = ledger.take_pending(database, 5, run_id)
    held = ledger.claim(database, taken.batch_id, "worker", LEASE)
    assert held is not None
    assert runs.cancel(database, run_id)
    with pytest.raises(RunInUseError, match="1 batches"):
        deletion.mark(database, run_id)
    with pytest.raises(UnknownRunError):
        deletion.mark(database, 99)
    assert queries.progress(database, run_id).status == "cancelled"


def test_a_worker_whose_lease_is_over_writes_nothing_into_a_deleted_run(
    database: Database, tmp_path: Path
) -> None:
    run_id = make_run(database, tmp_path, 10)
    (taken, *_) = ledger.take_pending(database, 5, run_id)
    held = ledger.claim(database, taken.batch_id, "worker", -1.0)
    assert held is not None
    assert runs.cancel(database, run_id)
    deletion.mark(database, run_id)
    assert not ledger.renew(database, held, LEASE)
    delete(database, run_id)
    assert rows_of(database, run_id) == {}


def test_an_evaluation_under_way_is_waited_for(database: Database, tmp_path: Path) -> None:
    run_id = complete_run(database, tmp_path)
    with database.write() as connection:
        manifest_id = connection.execute(select(run.c.manifest_id).where(run.c.id == run_id)).scalar_one()
        asked = ask(connection, run_id, EvaluationRequest(manifest_id, "manifest"))
    with pytest.raises(RunInUseError, match=f"evaluation {asked}"):
        deletion.mark(database, run_id)
    delete(database, run_id, force=True)
    assert rows_of(database, run_id) == {}


def test_a_run_whose_results_are_still_sent_is_waited_for(database: Database, tmp_path: Path) -> None:
    run_id = complete_run(database, tmp_path)
    with database.write() as connection:
        connection.execute(
            insert(sending).values(run_id=run_id, target="pacs", tls=False, created_at=NOW, state="due")
        )
    with pytest.raises(RunInUseError, match="still sent to pacs"):
        deletion.mark(database, run_id)
    with database.write() as connection:
        connection.execute(update(sending).values(state="done"))
    delete(database, run_id)
    assert rows_of(database, run_id) == {}


# --- manifests ---------------------------------------------------------------------------------------------


def rows_of_manifests(database: Database) -> list[tuple[int, int]]:
    """Of each manifest, how many rows it says it has, and how many there are."""
    counted = select(manifest_row.c.manifest_id, func.count().label("there")).group_by(
        manifest_row.c.manifest_id
    )
    there = counted.subquery()
    with database.read() as connection:
        found = connection.execute(
            select(manifest.c.rows, func.coalesce(there.c.there, 0))
            .outerjoin(there, there.c.manifest_id == manifest.c.id)
            .order_by(manifest.c.id)
        )
        return [(row[0], row[1]) for row in found]


def test_a_manifests_rows_go_with_the_last_run_that_needs_them_and_can_be_submitted_again(
    database: Database, tmp_path: Path
) -> None:
    first, second = complete_run(database, tmp_path), complete_run(database, tmp_path)
    other = complete_run(database, tmp_path, 7)
    assert rows_of_manifests(database) == [(10, 10), (7, 7)]
    delete(database, first)
    assert rows_of_manifests(database) == [(10, 10), (7, 7)]
    compare(database, second, evaluation_of(database, second))
    delete(database, second)
    assert rows_of_manifests(database) == [(0, 0), (7, 7)]
    with database.read() as connection:
        labels = connection.execute(text("SELECT labels FROM evaluations WHERE run_id = 2")).scalar_one()
    assert labels.endswith("manifest-10.csv")
    before = seen(database, other)
    again = complete_run(database, tmp_path)
    assert rows_of_manifests(database) == [(10, 10), (7, 7)]
    assert seen(database, again)["scores"] == 10 * 14
    assert seen(database, other) == before


def test_labels_of_an_evaluation_are_kept_for_the_run_that_is_evaluated_by_them(
    database: Database, tmp_path: Path
) -> None:
    run_id, labelling = complete_run(database, tmp_path), complete_run(database, tmp_path, 7)
    with database.write() as connection:
        others = connection.execute(select(run.c.manifest_id).where(run.c.id == labelling)).scalar_one()
        ask(connection, run_id, EvaluationRequest(others, "others"))
    delete(database, labelling)
    assert rows_of_manifests(database)[1] == (7, 7)
    delete(database, run_id, force=True)
    assert rows_of_manifests(database) == [(0, 0), (0, 0)]


def test_a_deletion_of_rows_that_is_cut_off_leaves_a_manifest_that_is_written_anew(
    database: Database, tmp_path: Path
) -> None:
    run_id = complete_run(database, tmp_path)
    deletion.mark(database, run_id)
    with database.write() as connection:
        assert delete_unneeded(connection, 4) == 4
    assert rows_of_manifests(database) == [(0, 6)]
    again = complete_run(database, tmp_path)
    assert rows_of_manifests(database) == [(10, 10)]
    assert delete(database, run_id) == 10
    assert rows_of_manifests(database) == [(10, 10)]
    assert seen(database, again)["scores"] == 10 * 14


def test_a_run_that_is_submitted_at_that_moment_has_all_rows_of_its_manifest(
    database: Database, tmp_path: Path
) -> None:
    """One at a time, each in the middle of the other, on a server that lets both run."""
    deletion.mark(database, complete_run(database, tmp_path))

    def empty() -> int:
        with database.write() as connection:
            return delete_unneeded(connection, 4)

    with ThreadPoolExecutor(1) as pool:
        with database.write() as connection:  # a submit that has found its manifest, and no run yet
            row = connection.execute(select(manifest)).one()
            facts = {"archive": row.archive_id, "fingerprint": row.fingerprint, "path": row.path}
            found = find_or_write_manifest(connection, **facts, findings=[], rows=[], reading=None)
            assert found == (row.id, 10)
            deleted = pool.submit(empty)
            with pytest.raises(TimeoutError):
                deleted.result(timeout=0.5)
            model_id = connection.execute(select(run.c.model_id)).scalar_one()
            taken = create_run(
                connection, manifest_id=row.id, model_id=model_id, heatmaps="none", version="1"
            )
        assert deleted.result(timeout=30) == 0
        assert rows_of_manifests(database) == [(10, 10)]

        assert runs.cancel(database, taken)
        deletion.mark(database, taken)
        with database.write() as connection:  # a deletion that has begun
            assert delete_unneeded(connection, 4) == 4
            submitted = pool.submit(make_run, database, tmp_path, 10)
            with pytest.raises(TimeoutError):
                submitted.result(timeout=0.5)
        submitted.result(timeout=30)
    assert rows_of_manifests(database) == [(10, 10)]


# --- what something names ----------------------------------------------------------------------------------


def raise_alert(database: Database, _run_id: int, evaluation_id: int) -> str:
    with database.write() as connection:
        values = {"name": "night", "cron": "0 2 * * *", "timezone": "UTC", "action": "{}", "margin": 0.02}
        connection.execute(insert(schedule).values(id=1, created_at=NOW, **values))
        raised = {"kind": "failed", "schedule_id": 1, "message": "for the test", "raised_at": NOW}
        connection.execute(insert(alert).values(id=5, evaluation_id=evaluation_id, **raised))
    return "alert 5"


def compare(database: Database, run_id: int, evaluation_id: int) -> str:
    with database.write() as connection:
        labels = connection.execute(
            select(evaluation.c.label_manifest_id).where(evaluation.c.id == evaluation_id)
        ).scalar_one()
        number = write_comparison(connection, run_id, run_id, labels, "manifest", Comparisons(10, []))
    return f"comparison {number}"


def evaluation_of(database: Database, run_id: int) -> int:
    with database.read() as connection:
        found: int = connection.execute(
            select(evaluation.c.id).where(evaluation.c.run_id == run_id)
        ).scalar_one()
    return found


def calibrate(database: Database, run_id: int, evaluation_id: int) -> str:
    with database.write() as connection:
        connection.execute(update(run).where(run.c.id != run_id).values(calibrated_by=evaluation_id))
        other = connection.execute(select(run.c.id).where(run.c.id != run_id)).scalar_one()
    return f"calibration of run {other}"


@pytest.mark.parametrize("name", [raise_alert, compare, calibrate])
def test_an_evaluation_that_something_names_stays_unless_it_is_asked_for(
    database: Database, tmp_path: Path, name: Callable[[Database, int, int], str]
) -> None:
    run_id = complete_run(database, tmp_path)
    complete_run(database, tmp_path, 7)
    evaluation_id = evaluation_of(database, run_id)
    with database.read() as connection:
        figures = "SELECT * FROM auc WHERE evaluation_id = :evaluation_id ORDER BY subgroup, finding"
        before = connection.execute(text(figures), {"evaluation_id": evaluation_id}).all()
    by = name(database, run_id, evaluation_id)
    assert deletion.look_at(database, run_id).named == [Naming(evaluation_id, by)]
    delete(database, run_id)
    with database.read() as connection:
        assert connection.execute(text(figures), {"evaluation_id": evaluation_id}).all() == before
    assert {"evaluation", "evaluation_result"} <= rows_of(database, run_id).keys()
    assert not {"score", "image_result", "batch", "delivery"} & rows_of(database, run_id).keys()


@pytest.mark.parametrize("name", [raise_alert, compare, calibrate])
def test_with_force_all_goes_that_names_an_evaluation(
    database: Database, tmp_path: Path, name: Callable[[Database, int, int], str]
) -> None:
    run_id = complete_run(database, tmp_path)
    complete_run(database, tmp_path, 7)
    evaluation_id = evaluation_of(database, run_id)
    name(database, run_id, evaluation_id)
    delete(database, run_id, force=True)
    assert rows_of(database, run_id) == {}


def test_the_baseline_of_a_schedule_is_refused_until_the_schedule_is_removed(
    database: Database, tmp_path: Path
) -> None:
    run_id = complete_run(database, tmp_path)
    schedules.add(
        database,
        name="night",
        cron="0 2 * * *",
        timezone="UTC",
        action="{}",
        margin=0.02,
        now=NOW,
        baseline_id=run_id,
    )
    with pytest.raises(RunInUseError, match="nightread schedule remove night"):
        deletion.mark(database, run_id, force=True)
    schedules.remove(database, "night", NOW)
    assert delete(database, run_id) == 10


def test_a_run_that_was_resumed_meanwhile_is_refused(database: Database, tmp_path: Path) -> None:
    run_id = make_run(database, tmp_path, 10)
    assert runs.cancel(database, run_id)
    assert deletion.look_at(database, run_id).status == RunStatus.CANCELLED
    assert runs.resume(database, run_id)
    with pytest.raises(RunInUseError):
        deletion.mark(database, run_id)
