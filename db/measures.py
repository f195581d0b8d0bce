"""The ledger in numbers, for a monitoring system: counts and times, never a name of an image or a patient."""

from collections import Counter as Counters
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Double,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from db import leases
from db.database import Database
from db.schema.archives import manifest_row
from db.schema.evaluations import evaluation
from db.schema.runs import batch, counted, earlier_failure, image_result, run
from db.states import GONE, OPEN_BATCHES, BatchState, ImageStatus, RunStatus

RATE_SECONDS: Final = 300
"""The span over which images per second are counted."""


class Counter(NamedTuple):
    """A number that never falls; `stage` and `reason` are those of failures, empty of others."""

    name: str
    stage: str = ""
    reason: str = ""


_SCORED: Final = Counter("scored")
_RETRIES: Final = Counter("retries")
_FAILED: Final = "failed"
_SECONDS: Final = "seconds"


@dataclass(frozen=True, slots=True)
class Measures:
    """What the ledger holds at one moment, over all runs; moments in UTC, None where there is none yet."""

    runs: dict[str, int]
    """Runs by status."""

    batches: dict[str, int]
    """Batches by state."""

    scored: int
    failed: dict[tuple[str, str], int]
    """Failures by stage and reason, those included whose images were tried again."""

    retries: int
    """Attempts that came to nothing: leases that expired, and batches that failed."""

    overdue: int
    """Leases that have expired and are not taken back yet."""

    images_per_second: float
    oldest_open: datetime | None
    """When the oldest run with an open batch was made."""

    last_batch: datetime | None
    last_evaluation: datetime | None
    seconds: dict[str, float]
    """Seconds by stage, summed over the batches that are done: `queue`, and from claim to commit `work`."""


def measure(database: Database, now: datetime) -> Measures:
    """Ask the ledger in one transaction; `now` is the end of the span over which the rate is counted.

    What is counted up includes the runs that are deleted: monitoring takes a number that falls for one that
    began anew, and would count all that is left as new.
    """
    with database.read() as connection:
        totals = _totals(connection, run.c.status.not_in(GONE))
        for row in connection.execute(select(counted)):
            totals[Counter(row.counter, row.stage, row.reason)] += row.value
        return Measures(
            runs=_counted(connection, run.c.status, RunStatus),
            batches=_counted(connection, batch.c.state, BatchState),
            scored=int(totals[_SCORED]),
            failed={
                (key.stage, key.reason): int(count) for key, count in totals.items() if key.name == _FAILED
            },
            retries=int(totals[_RETRIES]),
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
            seconds={stage: totals[Counter(_SECONDS, stage)] for stage in ("queue", "work")},
        )


def keep_counted(connection: Connection, run_id: int) -> None:
    """Write down what a run has counted, in the transaction that takes it from the runs that there are."""
    for key, value in _totals(connection, run.c.id == run_id).items():
        row = upsert(counted).values(counter=key.name, stage=key.stage, reason=key.reason, value=value)
        connection.execute(
            row.on_conflict_do_update(
                index_elements=["counter", "stage", "reason"],
                set_={"value": counted.c.value + row.excluded.value},
            )
        )


def _counted(connection: Connection, column: Column[Any], states: type[StrEnum]) -> dict[str, int]:
    """Count a table's rows by state; those without a row have 0."""
    counts = {
        str(row[0]): row[1] for row in connection.execute(select(column, func.count()).group_by(column))
    }
    return {state: counts.get(state, 0) for state in states}


def _number(connection: Connection, number: ColumnElement[Any], *conditions: ColumnElement[bool]) -> int:
    return int(connection.execute(select(number).select_from(batch).where(*conditions)).scalar_one() or 0)


def _totals(connection: Connection, chosen: ColumnElement[bool]) -> Counters[Counter]:
    """Return what the runs of a condition have counted: images, failures, attempts, and seconds by stage.

    Failures are found by way of the few batches that have any: results are large, as each has its image's
    maps.
    """
    row, result = manifest_row, image_result
    done = batch.c.state == BatchState.DONE
    # One under way may be given back, and then does not count.
    succeeding = case((and_(batch.c.attempt > 0, or_(done, batch.c.state == BatchState.RUNNING)), 1), else_=0)
    started, finished = (
        literal_column(_EPOCH[connection.dialect.name].format(f"batch.{name}"), Double)
        for name in ("started_at", "finished_at")
    )
    sums = connection.execute(
        select(
            func.sum(batch.c.scored).label("scored"),
            func.sum(batch.c.attempt - succeeding).label("retries"),
            # Of a batch that is tried again the moments change.
            func.sum(started - batch.c.sent_at).filter(done).label("queue"),
            func.sum(finished - started).filter(done).label("work"),
        )
        .select_from(batch)
        .join(run, run.c.id == batch.c.run_id)
        .where(chosen)
    ).one()
    failures = (
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
        .where(
            chosen,
            batch.c.failed > 0,
            result.c.batch_id == batch.c.id,
            result.c.status == ImageStatus.FAILED,
        )
        .group_by(result.c.stage, result.c.reason)
    )
    earlier = (
        select(earlier_failure.c.stage, earlier_failure.c.reason, func.count())
        .join(run, run.c.id == earlier_failure.c.run_id)
        .where(chosen)
        .group_by(earlier_failure.c.stage, earlier_failure.c.reason)
    )
    found = Counters(
        {
            _SCORED: sums.scored or 0,
            _RETRIES: sums.retries or 0,
            Counter(_SECONDS, "queue"): sums.queue or 0,
            Counter(_SECONDS, "work"): sums.work or 0,
        }
    )
    for failed in (failures, earlier):
        for stage, reason, count in connection.execute(failed):
            found[Counter(_FAILED, stage, reason)] += count
    return found


_EPOCH: Final = {
    "sqlite": "((julianday({}) - 2440587.5) * 86400.0)",
    "postgresql": "CAST(EXTRACT(EPOCH FROM {}) AS DOUBLE PRECISION)",
}
