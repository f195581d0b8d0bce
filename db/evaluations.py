"""The ledger of evaluations: a run's closing one is due once, claimed under a lease, and kept as history."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, and_, insert, select, update

from db import leases
from db.alerts import RegressionCheck, raise_drift, raise_loss, raise_unevaluated
from db.database import Database, Record, insert_rows
from db.drift import DriftCheck
from db.schema.evaluations import (
    calibration_bin,
    curve_point,
    evaluation,
    evaluation_result,
    first_images_result,
    fixed_result,
    localisation_result,
    mean_result,
    net_benefit_point,
    threshold_result,
)
from db.schema.runs import run
from db.schema.segmentations import segment_summary_result
from db.states import CLAIMABLE_EVALUATIONS, EvaluationState, RunStatus


@dataclass(frozen=True, slots=True)
class EvaluationClaim:
    """An evaluation whose lease this worker holds."""

    evaluation_id: int
    run_id: int
    label_manifest_id: int
    label_set: str
    closes_run: bool
    bootstrap: int
    wanted_sensitivity: float | None
    box_set_id: int | None
    schedule_id: int | None
    token: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What an evaluation found: rows of its tables, without the evaluation's id."""

    results: list[Record] = field(default_factory=list)
    means: list[Record] = field(default_factory=list)
    thresholds: list[Record] = field(default_factory=list)
    bins: list[Record] = field(default_factory=list)
    points: list[Record] = field(default_factory=list)
    localisations: list[Record] = field(default_factory=list)
    fixed: list[Record] = field(default_factory=list)
    benefits: list[Record] = field(default_factory=list)
    firsts: list[Record] = field(default_factory=list)
    segments: list[Record] = field(default_factory=list)

    def by_table(self) -> Sequence[tuple[Table, list[Record]]]:
        """Pair each table with its rows."""
        return (
            (evaluation_result, self.results),
            (mean_result, self.means),
            (threshold_result, self.thresholds),
            (calibration_bin, self.bins),
            (curve_point, self.points),
            (localisation_result, self.localisations),
            (fixed_result, self.fixed),
            (net_benefit_point, self.benefits),
            (first_images_result, self.firsts),
            (segment_summary_result, self.segments),
        )


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """What an evaluation computes besides the figures that all have.

    `bootstrap`: resamples of patients, 0 for none. `box_set_id`: boxes to compare the maps with.
    """

    label_manifest_id: int
    label_set: str
    bootstrap: int = 0
    wanted_sensitivity: float | None = None
    box_set_id: int | None = None
    schedule_id: int | None = None


def ask(connection: Connection, run_id: int, asked: EvaluationRequest) -> int:
    """Make an evaluation due; returns its id. It is new each time: evaluations are history."""
    row: int = connection.execute(
        insert(evaluation)
        .values(
            run_id=run_id,
            closes_run=False,
            **{name: getattr(asked, name) for name in EvaluationRequest.__slots__},
        )
        .returning(evaluation.c.id)
    ).scalar_one()
    return row


_CLAIMED: Final = EvaluationClaim.__slots__[1:-1]


def take_due(database: Database, resend_after_seconds: float) -> list[tuple[int, int]]:
    """Mark the evaluations that are due, or were announced long ago, as queued; returns (evaluation, run)."""
    with database.write() as connection:
        rows = connection.execute(
            leases.announce(evaluation, resend_after_seconds).returning(evaluation.c.id, evaluation.c.run_id)
        )
        return [(row.id, row.run_id) for row in rows]


def put_back(database: Database, evaluation_ids: Sequence[int]) -> None:
    """Make evaluations due again whose messages could not be sent."""
    leases.put_back(database, evaluation, evaluation_ids)


def claim_evaluation(
    database: Database, evaluation_id: int, lease_seconds: float, token: str | None = None
) -> EvaluationClaim | None:
    """Take an evaluation's lease; None if it is done or leased to another. `token` as for a batch's claim."""
    token = token or leases.new_token()
    with database.write() as connection:
        row = (
            connection.execute(
                leases.take(evaluation, evaluation_id, CLAIMABLE_EVALUATIONS, token, lease_seconds).returning(
                    *(evaluation.c[name] for name in _CLAIMED)
                )
            )
            .mappings()
            .first()
        )
    return None if row is None else EvaluationClaim(evaluation_id, **row, token=token)


def renew_evaluation(database: Database, held: EvaluationClaim, lease_seconds: float) -> bool:
    """Extend the lease; False if it was lost."""
    return leases.renew(database, evaluation, held.evaluation_id, held.token, lease_seconds)


def expire_evaluations(database: Database, max_attempts: int) -> int:
    """Take back evaluations whose worker stopped renewing; after `max_attempts` the run is marked broken."""
    overdue = leases.overdue(evaluation)
    with database.write() as connection:
        again = connection.execute(
            update(evaluation)
            .where(overdue, evaluation.c.attempt < max_attempts)
            .values(state=EvaluationState.DUE, **leases.FREE)
        ).rowcount
        spent = connection.execute(
            update(evaluation)
            .where(overdue, evaluation.c.attempt >= max_attempts)
            .values(state=EvaluationState.FAILED, **leases.FREE)
            .returning(
                evaluation.c.id, evaluation.c.run_id, evaluation.c.closes_run, evaluation.c.schedule_id
            )
        ).all()
        for row in spent:
            message = (
                f"the evaluation failed {max_attempts} times (see the workers' log); all scores are there"
            )
            if row.closes_run:
                message += f"; once that is mended: nightread evaluate {row.run_id}"
            connection.execute(update(evaluation).where(evaluation.c.id == row.id).values(message=message))
            if row.closes_run:
                connection.execute(
                    update(run).where(run.c.id == row.run_id).values(status=RunStatus.BROKEN, message=message)
                )
            if row.schedule_id is not None:
                about = f"run {row.run_id}, evaluation {row.id}: {message}"
                raise_unevaluated(connection, row.schedule_id, row.id, about)
        return again + len(spent)


def _lacks_only(held: EvaluationClaim) -> ColumnElement[bool]:
    """Select the run of an evaluation by its own labels if it is broken for the lack of just that."""
    failed = select(evaluation.c.id).where(
        evaluation.c.run_id == held.run_id,
        evaluation.c.closes_run,
        evaluation.c.state == EvaluationState.FAILED,
    )
    return and_(
        run.c.id == held.run_id,
        run.c.status == RunStatus.BROKEN,
        run.c.manifest_id == held.label_manifest_id,
        failed.exists(),
    )


def complete_evaluation(
    database: Database,
    held: EvaluationClaim,
    figures: Figures,
    check: RegressionCheck | None = None,
    drift: DriftCheck | None = None,
) -> bool:
    """Write figures, the checks for a regression and for drift, and `done` in one transaction.

    False without the lease.

    True also where an earlier call for this claim has written them.
    """
    now = datetime.now(UTC)
    with database.write() as connection:
        changed = connection.execute(
            update(evaluation)
            .where(leases.held(evaluation, held.evaluation_id, held.token))
            .values(evaluated_at=now, **leases.FINISHED)
        )
        if changed.rowcount != 1:
            return leases.finished_under(connection, evaluation, held.evaluation_id, held.token)
        for table, rows in figures.by_table():
            names = [column.name for column in table.columns if column.name != "evaluation_id"]
            values = ((held.evaluation_id, *(row.get(name) for name in names)) for row in rows)
            insert_rows(connection, table, ["evaluation_id", *names], values)
        if held.closes_run:
            connection.execute(
                update(run)
                .where(run.c.id == held.run_id, run.c.status == RunStatus.EVALUATING)
                .values(status=RunStatus.COMPLETE, finished_at=now)
            )
        else:
            connection.execute(
                update(run)
                .where(_lacks_only(held))
                .values(status=RunStatus.COMPLETE, message=None, finished_at=now)
            )
        if check is not None:
            raise_loss(connection, check)
        if drift is not None and held.schedule_id is not None:
            raise_drift(connection, held.schedule_id, held.evaluation_id, drift)
    return True
