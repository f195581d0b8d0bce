"""The ledger in numbers, for a monitoring system: counts and times, never a name of an image or a patient."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, and_, func, select, text

from db import leases
from db.database import Database
from db.schema.archives import manifest_row
from db.schema.evaluations import evaluation
from db.schema.runs import batch, image_result, run
from db.states import OPEN_BATCHES, BatchState, ImageStatus, RunStatus

RATE_SECONDS: Final = 300
"""The span over which images per second are counted."""


@dataclass(frozen=True, slots=True)
class Measures:
    """What the ledger holds at one moment, over all runs; moments in UTC, None where there is none yet."""

    runs: dict[str, int]
    """Runs by status."""

    batches: dict[str, int]
    """Batches by state."""

    scored: int
    failed: dict[tuple[str, str], int]
    """Failed images by stage and reason."""

    retries: int
    """Attempts beyond a batch's first: leases that expired, and batches that failed."""

    overdue: int
    """Leases that have expired and are not taken back yet."""

    images_per_second: float
    oldest_open: datetime | None
    """When the oldest run with an open batch was made."""

    last_batch: datetime | None
    last_evaluation: datetime | None
    seconds: dict[str, float]
    """Seconds by stage, summed over the batches that were begun: `queue`, and from claim to commit `work`."""


def measure(database: Database, now: datetime) -> Measures:
    """Ask the ledger in one transaction; `now` is the end of the span over which the rate is counted."""
    with database.read() as connection:
        return Measures(
            runs=_counted(connection, run.c.status, RunStatus),
            batches=_counted(connection, batch.c.state, BatchState),
            scored=_number(connection, func.sum(batch.c.scored)),
            failed=_failed(connection),
            retries=_number(connection, func.sum(batch.c.attempt - 1), batch.c.attempt > 1),
            overdue=_number(connection, func.count(), leases.overdue(batch)),
            images_per_second=_number(
                connection,
                func.sum(batch.c.scored + batch.c.failed),
                batch.c.finished_at > now - timedelta(seconds=RATE_SECONDS),
            )
            / RATE_SECONDS,
            oldest_open=connection.execute(
                select(func.min(run.c.created_at)).where(
                    run.c.status == RunStatus.RUNNING,
                    run.c.id.in_(select(batch.c.run_id).where(batch.c.state.in_(OPEN_BATCHES))),
                )
            ).scalar_one(),
            last_batch=connection.execute(select(func.max(batch.c.finished_at))).scalar_one(),
            last_evaluation=connection.execute(select(func.max(evaluation.c.evaluated_at))).scalar_one(),
            seconds=_seconds(connection),
        )


def _counted(connection: Connection, column: Column[Any], states: type[StrEnum]) -> dict[str, int]:
    """Count a table's rows by state; those without a row have 0."""
    counts = {
        str(row[0]): row[1] for row in connection.execute(select(column, func.count()).group_by(column))
    }
    return {state: counts.get(state, 0) for state in states}


def _number(connection: Connection, number: ColumnElement[Any], *conditions: ColumnElement[bool]) -> int:
    return int(connection.execute(select(number).select_from(batch).where(*conditions)).scalar_one() or 0)


def _failed(connection: Connection) -> dict[tuple[str, str], int]:
    """Count the failures by stage and reason, by way of the few batches that have any.

    The results themselves are large, as each has its image's maps.
    """
    row, result = manifest_row, image_result
    found = connection.execute(
        select(result.c.stage, result.c.reason, func.count())
        .select_from(batch)
        .join(run, run.c.id == batch.c.run_id)
        .join(
            row,
            and_(
                row.c.manifest_id == run.c.manifest_id,
                row.c.row_number.between(batch.c.first_row, batch.c.last_row),
            ),
        )
        .join(result, and_(result.c.run_id == batch.c.run_id, result.c.image_id == row.c.image_id))
        .where(batch.c.failed > 0, result.c.batch_id == batch.c.id, result.c.status == ImageStatus.FAILED)
        .group_by(result.c.stage, result.c.reason)
    )
    return {(stage, reason): count for stage, reason, count in found}


_EPOCH: Final = {
    "sqlite": "((julianday({}) - 2440587.5) * 86400.0)",
    "postgresql": "CAST(EXTRACT(EPOCH FROM {}) AS DOUBLE PRECISION)",
}


def _seconds(connection: Connection) -> dict[str, float]:
    started, finished = (
        _EPOCH[connection.dialect.name].format(name) for name in ("started_at", "finished_at")
    )
    queue, work = connection.execute(
        text(f"SELECT SUM({started} - sent_at), SUM({finished} - {started}) FROM batch")  # noqa: S608  # our names
    ).one()
    return {"queue": float(queue or 0), "work": float(work or 0)}
