"""Comparisons of runs with a baseline, kept as history."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select

from db.database import Record, insert_rows
from db.schema.evaluations import drift_check, drift_result
from db.schema.schedules import schedule


@dataclass(frozen=True, slots=True)
class DriftCheck:
    """A run beside a baseline: rows of the table `drift_result`, without the check's id and their number.

    `message` is the alert's, None where nothing has shifted.
    """

    run_id: int
    baseline_id: int
    rows: list[Record]
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a schedule's runs are compared with, and the schedule's name."""

    schedule: str
    run_id: int


def baseline_of(connection: Connection, schedule_id: int) -> Baseline | None:
    """Return what a schedule's runs are compared with, None where nothing was named."""
    row = connection.execute(
        select(schedule.c.name, schedule.c.baseline_id).where(schedule.c.id == schedule_id)
    ).one()
    return None if row.baseline_id is None else Baseline(row.name, row.baseline_id)


def write_drift(connection: Connection, check: DriftCheck) -> int:
    """Write a comparison with a baseline; returns its id. It is new each time."""
    written: int = connection.execute(
        insert(drift_check)
        .values(run_id=check.run_id, baseline_id=check.baseline_id, measured_at=datetime.now(UTC))
        .returning(drift_check.c.id)
    ).scalar_one()
    names = [column.name for column in drift_result.columns if column.name not in {"drift_id", "number"}]
    values = (
        (written, number, *(row[name] for name in names)) for number, row in enumerate(check.rows, start=1)
    )
    insert_rows(connection, drift_result, ["drift_id", "number", *names], values)
    return written
