"""Alerts: what a schedule found that a person must know, each written once and delivered once."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, and_, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from db.comparisons import Comparisons, write_comparison
from db.database import Database, clock
from db.drift import DriftCheck, write_drift
from db.schedules import DueTime
from db.schema.evaluations import evaluation
from db.schema.runs import model, run
from db.schema.schedules import alert, schedule, schedule_due
from db.states import GONE, EvaluationState

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 60
"""The pause between the first try of a delivery and the second; each later one is twice the one before."""

GIVEN_UP_AFTER: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RegressionCheck:
    """What the paired test of a scheduled evaluation against the one before found.

    `run_before` and `run_id` are run_a and run_b of the comparison. `message` is the alert's, None where
    nothing was lost.
    """

    schedule_id: int
    evaluation_id: int
    run_before: int
    run_id: int
    label_manifest_id: int
    label_set: str
    comparisons: Comparisons
    message: str | None


@dataclass(frozen=True, slots=True)
class Predecessor:
    """The run that a schedule evaluated before, and what an alert says: the schedule and both models."""

    schedule: str
    margin: float
    run_id: int
    model: str
    model_now: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it is shown and delivered; it names no patient and no image."""

    alert_id: int
    kind: str
    schedule: str
    message: str
    run_id: int | None
    evaluation_id: int | None
    raised_at: datetime
    tries: int


def predecessor(
    connection: Connection, schedule_id: int, evaluation_id: int, run_id: int
) -> Predecessor | None:
    """Return what an evaluation of a schedule is to be tested against.

    None for the schedule's first evaluation, and where the model is the same: it gave the images that both
    runs have the same scores.
    """
    facts = select(run.c.id, run.c.model_id, model.c.name, model.c.sha256, model.c.card_sha256).join(
        model, model.c.id == run.c.model_id
    )
    now = connection.execute(facts.where(run.c.id == run_id)).one()
    then = connection.execute(
        facts.join(evaluation, evaluation.c.run_id == run.c.id)
        .where(
            evaluation.c.schedule_id == schedule_id,
            evaluation.c.state == EvaluationState.DONE,
            evaluation.c.id < evaluation_id,
            run.c.status.not_in(GONE),
        )
        .order_by(evaluation.c.id.desc())
        .limit(1)
    ).first()
    if then is None or then.model_id == now.model_id:
        return None
    of = connection.execute(select(schedule).where(schedule.c.id == schedule_id)).one()
    # Where the weights are the same, only the cards distinguish the models.
    same = then.sha256 == now.sha256
    names = [f"{row.name} ({(row.card_sha256 if same else row.sha256)[:12]})" for row in (then, now)]
    return Predecessor(of.name, of.margin, then.id, *names)


def raise_loss(connection: Connection, check: RegressionCheck) -> None:
    """Write the comparison and, where something was lost, the alert; within the evaluation's transaction."""
    comparison_id = write_comparison(
        connection,
        check.run_before,
        check.run_id,
        check.label_manifest_id,
        check.label_set,
        check.comparisons,
    )
    if check.message is not None:
        about = {"evaluation_id": check.evaluation_id, "comparison_id": comparison_id}
        _raise(connection, "loss", check.schedule_id, check.message, **about)


def raise_drift(connection: Connection, schedule_id: int, evaluation_id: int, check: DriftCheck) -> None:
    """Write the comparison with the baseline and, where something has shifted, the alert."""
    drift_id = write_drift(connection, check)
    if check.message is not None:
        _raise(
            connection, "drift", schedule_id, check.message, evaluation_id=evaluation_id, drift_id=drift_id
        )


def raise_failed(connection: Connection, due: DueTime, message: str) -> None:
    """Write that a due time led to neither a run nor an evaluation."""
    _raise(connection, "failed", due.schedule_id, message, due_at=due.due_at)


def raise_unevaluated(connection: Connection, schedule_id: int, evaluation_id: int, message: str) -> None:
    """Write that a scheduled evaluation was given up."""
    _raise(connection, "failed", schedule_id, message, evaluation_id=evaluation_id)


def raise_unsent(connection: Connection, run_id: int, message: str) -> None:
    """Write that results of a schedule's run do not reach their receiver; once for each due time."""
    due = connection.execute(
        select(schedule_due.c.schedule_id, schedule_due.c.due_at, schedule.c.name)
        .join(schedule, schedule.c.id == schedule_due.c.schedule_id)
        .where(schedule_due.c.run_id == run_id)
    ).first()
    if due is not None:
        about = f"schedule {due.name}, run {run_id}: {message}"
        _raise(connection, "failed", due.schedule_id, about, due_at=due.due_at)


def raise_unscored(connection: Connection, schedule_id: int, run_id: int, message: str) -> None:
    """Write that a schedule's run could score nothing; once, no matter how often the run is tried again."""
    due_at = connection.execute(
        select(schedule_due.c.due_at).where(schedule_due.c.run_id == run_id)
    ).scalar_one_or_none()
    _raise(connection, "failed", schedule_id, message, due_at=due_at)


def _raise(connection: Connection, kind: str, schedule_id: int, message: str, **about: object) -> None:
    added = connection.execute(
        upsert(alert)
        .values(kind=kind, schedule_id=schedule_id, message=message, raised_at=datetime.now(UTC), **about)
        .on_conflict_do_nothing()
        .returning(alert.c.id)
    )
    if added.first() is not None:
        log.warning("alert: %s", message)


_SHOWN: Final = (
    select(
        alert.c.id,
        alert.c.kind,
        schedule.c.name,
        alert.c.message,
        func.coalesce(evaluation.c.run_id, schedule_due.c.run_id),
        alert.c.evaluation_id,
        alert.c.raised_at,
        alert.c.tries,
    )
    .join(schedule, schedule.c.id == alert.c.schedule_id)
    .outerjoin(evaluation, evaluation.c.id == alert.c.evaluation_id)
    .outerjoin(
        schedule_due,
        and_(schedule_due.c.schedule_id == alert.c.schedule_id, schedule_due.c.due_at == alert.c.due_at),
    )
    .order_by(alert.c.id)
)


def since(database: Database, moment: datetime) -> list[Alert]:
    """Return the alerts that were raised after a moment, oldest first."""
    with database.read() as connection:
        return [Alert(*row) for row in connection.execute(_SHOWN.where(alert.c.raised_at > moment))]


def undelivered(database: Database, now: datetime) -> list[Alert]:
    """Return the alerts whose delivery is to be tried now."""
    # After the n-th try the pause is FIRST_PAUSE_SECONDS * 2^(n - 1).
    pause = literal(FIRST_PAUSE_SECONDS).bitwise_lshift(alert.c.tries - 1)
    to_be_tried = _SHOWN.where(
        alert.c.delivered_at.is_(None),
        alert.c.raised_at > now - GIVEN_UP_AFTER,
        or_(alert.c.tries == 0, alert.c.tried_at < clock() - pause),
    )
    with database.read() as connection:
        return [Alert(*row) for row in connection.execute(to_be_tried)]


def claim(database: Database, wanted: Alert) -> bool:
    """Take a try of a delivery; False if another has taken it."""
    with database.write() as connection:
        taken = connection.execute(
            update(alert)
            .where(alert.c.id == wanted.alert_id, alert.c.tries == wanted.tries)
            .values(tries=alert.c.tries + 1, tried_at=clock())
        )
        return taken.rowcount == 1


def set_delivered(database: Database, alert_id: int, now: datetime) -> None:
    """Note that an alert has arrived; it is not tried again."""
    with database.write() as connection:
        connection.execute(update(alert).where(alert.c.id == alert_id).values(delivered_at=now))
