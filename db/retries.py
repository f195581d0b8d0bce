"""Score an ended run's failed images again, in the same run, with the failures kept in its history."""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, literal, select, update

from config.failures import Reason, Stage
from db import sendings
from db.database import Database
from db.errors import DatabaseError
from db.queries import progress
from db.receipts import write_once
from db.runs import ranges_of, write_batches
from db.schema.archives import manifest_row
from db.schema.base import UtcDateTime
from db.schema.evaluations import evaluation
from db.schema.runs import batch, earlier_failure, image_result, run
from db.states import ImageStatus, RunStatus

_ENDED: Final = (RunStatus.COMPLETE, RunStatus.FAILED)


def retry_failed(database: Database, run_id: int, reason: Reason | None = None) -> int:
    """Make an ended run's failed images due again, those of one reason or all; returns how many.

    The run is `running` again until they are scored and it is evaluated once more. 0, and nothing changed,
    where there is nothing to try again: scores that an imported file lacks are not a worker's to find.
    Raises UnknownRunError for a run that is not there, and DatabaseError for one that has not ended.
    """
    status = progress(database, run_id).status
    return write_once(database, lambda connection: _reopen(connection, run_id, reason, status))


def _reopen(connection: Connection, run_id: int, reason: Reason | None, status: RunStatus) -> int:
    failed = and_(
        image_result.c.run_id == run_id,
        image_result.c.status == ImageStatus.FAILED,
        image_result.c.stage != Stage.IMPORT,
    )
    if reason is not None:
        failed = and_(failed, image_result.c.reason == reason)
    count: int = connection.execute(select(func.count()).where(failed)).scalar_one()
    if count == 0 and status in _ENDED:
        return 0
    # Of two that ask at the same time one waits here for the other, and finds the run running.
    reopened = connection.execute(
        update(run)
        .where(run.c.id == run_id, run.c.status.in_(_ENDED))
        .values(status=RunStatus.RUNNING, finished_at=None, message=None)
    )
    if reopened.rowcount != 1:
        raise DatabaseError(
            f"run {run_id} is {status}; its failed images can be scored again once it has ended"
        )
    # The run will have another closing evaluation; the earlier one stays as any other does.
    connection.execute(
        update(evaluation)
        .where(evaluation.c.run_id == run_id, evaluation.c.closes_run)
        .values(closes_run=False)
    )
    _keep(connection, failed)
    _make_batches(connection, run_id, failed)
    _take_back(connection, run_id, failed)
    sendings.reopen(connection, run_id)
    return count


def _keep(connection: Connection, failed: ColumnElement[bool]) -> None:
    """Copy the failures into the history."""
    kept = ("run_id", "image_id", "stage", "reason", "message", "tag")
    columns = (image_result.c[name] for name in kept)
    chosen = select(*columns, literal(datetime.now(UTC), UtcDateTime)).where(failed)
    connection.execute(insert(earlier_failure).from_select([*kept, "retried_at"], chosen))


def _make_batches(connection: Connection, run_id: int, failed: ColumnElement[bool]) -> None:
    """Write batches over the failed images' rows, of the size that the run's others have."""
    size, last = connection.execute(
        select(func.max(batch.c.last_row - batch.c.first_row + 1), func.max(batch.c.number)).where(
            batch.c.run_id == run_id
        )
    ).one()
    numbers = connection.execute(
        select(manifest_row.c.row_number)
        .join(run, run.c.manifest_id == manifest_row.c.manifest_id)
        .join(image_result, image_result.c.image_id == manifest_row.c.image_id)
        .where(run.c.id == run_id, failed)
        .order_by(manifest_row.c.row_number)
    ).scalars()
    made = [part for rows in ranges_of(numbers) for part in rows.parts(size)]
    write_batches(connection, run_id, made, first=last + 1)
    connection.execute(update(run).where(run.c.id == run_id).values(batches=run.c.batches + len(made)))


def _take_back(connection: Connection, run_id: int, failed: ColumnElement[bool]) -> None:
    """Remove the failures from the results, and from the counts of the batches that had them."""
    of_batch = select(func.count()).where(image_result.c.batch_id == batch.c.id, failed).scalar_subquery()
    connection.execute(
        update(batch)
        .where(batch.c.run_id == run_id, batch.c.failed > 0)
        .values(failed=batch.c.failed - of_batch)
    )
    connection.execute(delete(image_result).where(failed))
