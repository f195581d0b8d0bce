"""Bring the ledger forward after a process died: expired leases, lost messages, finished runs."""

from datetime import UTC, datetime

from sqlalchemy import Connection, and_, exists, func, insert, select, update

from config.failures import Reason, Stage
from db import leases
from db.alerts import raise_unscored
from db.database import Database, clock
from db.outcomes import BatchKeys, Failed
from db.schema.archives import manifest_row
from db.schema.evaluations import evaluation
from db.schema.runs import batch, image_result, run
from db.states import OPEN_BATCHES, BatchState, ImageStatus, RunStatus


def expire_leases(database: Database, max_attempts: int) -> int:
    """Take back the batches whose worker stopped renewing; returns how many.

    After `max_attempts` a batch is split into its single images, and a single image is marked failed: a file
    that kills its worker costs itself and nothing else.
    """
    # A locked row is being written at this moment by its worker or by another reconciler.
    found = select(batch.c.id).where(leases.overdue(batch)).with_for_update(skip_locked=True)
    overdue = and_(batch.c.id.in_(found.scalar_subquery()), leases.overdue(batch))
    free = {**leases.FREE, "worker": None}
    with database.write() as connection:
        retried = connection.execute(
            update(batch)
            .where(overdue, batch.c.attempt < max_attempts)
            .values(state=BatchState.PENDING, **free)
        ).rowcount
        spent = connection.execute(
            update(batch)
            .where(overdue, batch.c.attempt >= max_attempts)
            .values(state=BatchState.SPLIT, **free)
            .returning(batch.c.id, batch.c.run_id, batch.c.number, batch.c.first_row, batch.c.last_row)
        ).all()
        for row in spent:
            if row.first_row == row.last_row:
                _fail_deadly_image(connection, row.id, row.run_id, row.first_row, max_attempts)
            else:
                connection.execute(
                    insert(batch),
                    [
                        {"run_id": row.run_id, "number": row.number, "first_row": number, "last_row": number}
                        for number in range(row.first_row, row.last_row + 1)
                    ],
                )
    return retried + len(spent)


def _fail_deadly_image(
    connection: Connection, batch_id: int, run_id: int, row_number: int, attempts: int
) -> None:
    image_id: int = connection.execute(
        select(manifest_row.c.image_id)
        .join(run, run.c.manifest_id == manifest_row.c.manifest_id)
        .where(run.c.id == run_id, manifest_row.c.row_number == row_number)
    ).scalar_one()
    message = f"{attempts} workers died or hung while they worked on this image alone"
    failed = Failed(image_id, Stage.WORKER, Reason.WORKER_DIED, message)
    Failed.write(connection, BatchKeys(run_id, batch_id, {}), [failed])
    connection.execute(
        update(batch)
        .where(batch.c.id == batch_id)
        .values(state=BatchState.DONE, failed=1, finished_at=datetime.now(UTC))
    )


def requeue_lost(database: Database, older_than_seconds: float) -> int:
    """Make batches pending again that were announced and not claimed since; returns how many.

    Only for a caller who knows that the broker holds no more messages: a long queue is not a loss.
    """
    with database.write() as connection:
        return connection.execute(
            update(batch)
            .where(batch.c.state == BatchState.QUEUED, batch.c.sent_at < clock() - older_than_seconds)
            .values(state=BatchState.PENDING, sent_at=None)
        ).rowcount


def has_queued_before(database: Database, older_than_seconds: float) -> bool:
    """Return whether a batch was announced that long ago and not claimed since."""
    with database.read() as connection:
        return (
            connection.execute(
                select(batch.c.id)
                .where(batch.c.state == BatchState.QUEUED, batch.c.sent_at < clock() - older_than_seconds)
                .limit(1)
            ).first()
            is not None
        )


def close_finished(database: Database, run_id: int | None = None) -> list[int]:
    """Make the evaluation of each run due whose last batch is done, exactly once; returns the evaluations.

    The caller commits its own batch first, so of two batches that end at the same time the later one sees
    both; the UPDATE of the run's status lets one of them win. The images' outcomes are counted against the
    manifest first: a run with a gap is marked broken, never complete, and one without any score failed.
    """
    work_left = exists().where(batch.c.run_id == run.c.id, batch.c.state.in_(OPEN_BATCHES))
    finished = [run.c.status == RunStatus.RUNNING, ~work_left]
    if run_id is not None:
        finished.append(run.c.id == run_id)
    with database.read() as connection:
        if connection.execute(select(run.c.id).where(*finished).limit(1)).first() is None:
            return []
    due = []
    with database.write() as connection:
        closed = connection.execute(
            update(run)
            .where(*finished)
            .values(status=RunStatus.EVALUATING)
            .returning(run.c.id, run.c.images, run.c.manifest_id, run.c.schedule_id)
        ).all()
        for row in closed:
            outcomes: int = connection.execute(
                select(func.count()).select_from(image_result).where(image_result.c.run_id == row.id)
            ).scalar_one()
            if outcomes != row.images:
                message = f"{row.images} rows in the manifest but {outcomes} outcomes; please report this"
                connection.execute(
                    update(run).where(run.c.id == row.id).values(status=RunStatus.BROKEN, message=message)
                )
                continue
            why = _why_nothing_is_scored(connection, row.id)
            if why is not None:
                connection.execute(
                    update(run)
                    .where(run.c.id == row.id)
                    .values(status=RunStatus.FAILED, message=why, finished_at=datetime.now(UTC))
                )
                if row.schedule_id is not None:
                    raise_unscored(connection, row.schedule_id, row.id, f"run {row.id}: {why}")
                continue
            due.append(
                connection.execute(
                    insert(evaluation)
                    .values(
                        run_id=row.id,
                        label_manifest_id=row.manifest_id,
                        label_set="manifest",
                        closes_run=True,
                        schedule_id=row.schedule_id,
                    )
                    .returning(evaluation.c.id)
                ).scalar_one()
            )
    return due


def _why_nothing_is_scored(connection: Connection, run_id: int) -> str | None:
    """Say why a run whose images have their outcomes has no score; None where it has one, or had no image.

    A run of what is new in an archive counts the scores of the earlier runs that its evaluation uses.
    """
    of_run = select(run.c.manifest_id, run.c.model_id, run.c.only_new).where(run.c.id == run_id)
    manifest_id, model_id, only_new = connection.execute(of_run).one()
    scored = select(image_result.c.image_id).where(image_result.c.status == ImageStatus.SCORED).limit(1)
    if only_new:
        scored = (
            scored.join(run, run.c.id == image_result.c.run_id)
            .join(manifest_row, manifest_row.c.image_id == image_result.c.image_id)
            .where(
                run.c.model_id == model_id,
                run.c.status != RunStatus.DELETING,
                manifest_row.c.manifest_id == manifest_id,
            )
        )
    else:
        scored = scored.where(image_result.c.run_id == run_id)
    if connection.execute(scored).first() is not None:
        return None
    images = func.count().label("images")
    reasons = connection.execute(
        select(image_result.c.stage, image_result.c.reason, images)
        .where(image_result.c.run_id == run_id)
        .group_by(image_result.c.stage, image_result.c.reason)
        .order_by(images.desc(), image_result.c.reason)
    ).all()
    if not reasons:
        return None
    most = reasons[0]
    mended = f"nightread resume {run_id} --failed"
    way = "import a file that has scores" if most.stage == Stage.IMPORT else f"once that is mended: {mended}"
    return (
        f"none of its {sum(row.images for row in reasons):,} images could be scored; the commonest reason is "
        f"{most.reason} ({most.images:,}). See: nightread failures {run_id}; {way}"
    )
