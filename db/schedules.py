"""The ledger of schedules: which due times were acted on, each once, and with what result."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from db import leases
from db.database import Database, clock
from db.errors import DatabaseError
from db.receipts import write_once
from db.schema.deliveries import sending
from db.schema.evaluations import evaluation
from db.schema.runs import run
from db.schema.schedules import schedule, schedule_due
from db.states import DueState, EvaluationState, RunStatus, SendingState


class ScheduleNameTakenError(DatabaseError):
    """A schedule with this name is active already."""


class UnknownScheduleError(DatabaseError):
    """No active schedule has this name."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """An active schedule with the newest due time that was noted, None where there is none yet.

    `action` is JSON of jobs/schedules/schedule.py. `margin` is a difference of AUROCs, `baseline_id` the run
    that its runs are compared with. `state`, `message`, `run_id` and `evaluation_id` are the result of
    `due_at`, `run_status` and `evaluation_state` its progress; `waits_for` is what keeps it from being
    acted on, `sending_state` how far the run's results are on their way.
    """

    schedule_id: int
    name: str
    cron: str
    timezone: str
    action: str
    margin: float
    baseline_id: int | None
    created_at: datetime
    due_at: datetime | None
    state: DueState | None
    message: str | None
    run_id: int | None
    run_status: RunStatus | None
    evaluation_id: int | None
    evaluation_state: EvaluationState | None
    waits_for: str | None
    waits_since: datetime | None
    sending_state: SendingState | None

    @property
    def going(self) -> bool:
        """Whether the last due time's run or evaluation is not over yet."""
        return (
            self.state == DueState.DUE
            or (self.run_status is not None and not self.run_status.settled)
            or (self.evaluation_state is not None and not self.evaluation_state.settled)
        )


@dataclass(frozen=True, slots=True)
class DueTime:
    """A due time of a schedule; UTC."""

    schedule_id: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class DueClaim:
    """A due time whose lease this process holds; `waits_for`: what was away when it was tried before."""

    due: DueTime
    name: str
    action: str
    waits_for: str | None
    token: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """The result of a due time: a run or an evaluation, nothing to do, or the reason for a failure."""

    state: DueState
    run_id: int | None = None
    evaluation_id: int | None = None
    message: str | None = None


def add(
    database: Database,
    *,
    name: str,
    cron: str,
    timezone: str,
    action: str,
    margin: float,
    now: datetime,
    baseline_id: int | None = None,
) -> int:
    """Write a schedule, due for the first time after `now`; ScheduleNameTakenError if the name is active."""
    new = (
        upsert(schedule)
        .values(
            name=name,
            cron=cron,
            timezone=timezone,
            action=action,
            margin=margin,
            baseline_id=baseline_id,
            created_at=now,
        )
        .on_conflict_do_nothing()
        .returning(schedule.c.id)
    )
    added: int | None = write_once(database, lambda connection: connection.execute(new).scalar_one_or_none())
    if added is None:
        raise ScheduleNameTakenError(
            f"there is a schedule {name!r} already; take another name, or first: nightread schedule remove "
            f"{name}"
        )
    return added


def remove(database: Database, name: str, now: datetime) -> None:
    """End a schedule; its history stays. UnknownScheduleError if no active one has the name."""
    end = (
        update(schedule)
        .where(schedule.c.name == name, schedule.c.removed_at.is_(None))
        .values(removed_at=now)
    )
    if write_once(database, lambda connection: connection.execute(end).rowcount) == 0:
        raise UnknownScheduleError(f"there is no schedule {name!r}; see: nightread schedule list")


def active(database: Database) -> list[Schedule]:
    """Return the schedules that were not removed, by name."""
    with database.read() as connection:
        return _active(connection)


_OF_DUE: Final = ("state", "message", "run_id", "evaluation_id", "waits_for", "waits_since")


def _active(connection: Connection) -> list[Schedule]:
    newest = (
        select(schedule_due.c.schedule_id, func.max(schedule_due.c.due_at).label("due_at"))
        .group_by(schedule_due.c.schedule_id)
        .subquery()
    )
    rows = connection.execute(
        select(
            schedule.c.id.label("schedule_id"),
            *(
                schedule.c[name]
                for name in ("name", "cron", "timezone", "action", "margin", "baseline_id", "created_at")
            ),
            newest.c.due_at,
            *(schedule_due.c[name] for name in _OF_DUE),
            run.c.status.label("run_status"),
            evaluation.c.state.label("evaluation_state"),
            sending.c.state.label("sending_state"),
        )
        .outerjoin(newest, newest.c.schedule_id == schedule.c.id)
        .outerjoin(
            schedule_due,
            and_(schedule_due.c.schedule_id == schedule.c.id, schedule_due.c.due_at == newest.c.due_at),
        )
        .outerjoin(run, run.c.id == schedule_due.c.run_id)
        .outerjoin(evaluation, evaluation.c.id == schedule_due.c.evaluation_id)
        .outerjoin(sending, sending.c.run_id == schedule_due.c.run_id)
        .where(schedule.c.removed_at.is_(None))
        .order_by(schedule.c.name)
    )
    return [Schedule(**row) for row in rows.mappings()]


def note_due(database: Database, schedule_id: int, due_at: datetime) -> bool:
    """Write a due time of a schedule; False if it or a later one is noted, or the one before is not over."""
    with database.write() as connection:
        # Two reconcilers whose clocks differ may have found two different times: the second one waits here,
        # and then sees what the first one wrote.
        connection.execute(
            select(schedule.c.id).where(schedule.c.id == schedule_id).with_for_update(key_share=True)
        )
        free = [
            known
            for known in _active(connection)
            if known.schedule_id == schedule_id
            and not known.going
            and (known.due_at is None or known.due_at < due_at)
        ]
        if not free:
            return False
        added = connection.execute(
            upsert(schedule_due)
            .values(schedule_id=schedule_id, due_at=due_at, state=DueState.DUE)
            .on_conflict_do_nothing()
            .returning(schedule_due.c.due_at)
        )
        return added.first() is not None


def to_act_on(database: Database) -> list[DueTime]:
    """Return the due times of active schedules that were noted, and that nobody acts on."""
    with database.read() as connection:
        rows = connection.execute(
            select(schedule_due.c.schedule_id, schedule_due.c.due_at)
            .join(schedule, schedule.c.id == schedule_due.c.schedule_id)
            .where(_free(), schedule.c.removed_at.is_(None))
            .order_by(schedule_due.c.due_at, schedule_due.c.schedule_id)
        )
        return [DueTime(*row) for row in rows]


def _free() -> ColumnElement[bool]:
    """Select the due times that may be claimed."""
    return and_(
        schedule_due.c.state == DueState.DUE,
        or_(schedule_due.c.lease_expires_at.is_(None), schedule_due.c.lease_expires_at < clock()),
        or_(schedule_due.c.not_before.is_(None), schedule_due.c.not_before <= clock()),
    )


def claim(database: Database, due: DueTime, lease_seconds: float) -> DueClaim | None:
    """Take a due time's lease; None where another has it, or has settled it."""
    token = leases.new_token()
    with database.write() as connection:
        taken = connection.execute(
            update(schedule_due)
            .where(_is(due), _free())
            .values(lease_token=token, lease_expires_at=clock() + lease_seconds)
            .returning(schedule_due.c.waits_for)
        ).first()
        if taken is None:
            return None
        of = connection.execute(
            select(schedule.c.name, schedule.c.action).where(schedule.c.id == due.schedule_id)
        ).one()
    return DueClaim(due, of.name, of.action, taken.waits_for, token)


def renew(database: Database, held: DueClaim, lease_seconds: float) -> bool:
    """Extend a lease; False if it was lost."""
    with database.write() as connection:
        renewed = connection.execute(
            update(schedule_due).where(_held(held)).values(lease_expires_at=clock() + lease_seconds)
        )
        return renewed.rowcount == 1


def put_off(database: Database, held: DueClaim, reason: str) -> None:
    """Give a lease back as something is away: the due time is tried again, at growing intervals."""
    now = datetime.now(UTC)
    with database.write() as connection:
        since = connection.execute(select(schedule_due.c.waits_since).where(_held(held))).scalar_one_or_none()
        connection.execute(
            update(schedule_due)
            .where(_held(held))
            .values(
                **leases.FREE,
                waits_for=reason,
                waits_since=since or now,
                not_before=clock() + leases.pause(since, now),
            )
        )


def lock(connection: Connection, held: DueClaim) -> bool:
    """Hold a claimed due time until the transaction ends; False if its lease was lost."""
    found = connection.execute(select(schedule_due.c.due_at).where(_held(held)).with_for_update()).first()
    return found is not None


def _held(held: DueClaim) -> ColumnElement[bool]:
    return and_(_is(held.due), schedule_due.c.state == DueState.DUE, schedule_due.c.lease_token == held.token)


def settle(connection: Connection, due: DueTime, settled: Settlement, now: datetime) -> None:
    """Write the result of a due time that the transaction holds."""
    connection.execute(
        update(schedule_due)
        .where(_is(due))
        .values(
            state=settled.state,
            run_id=settled.run_id,
            evaluation_id=settled.evaluation_id,
            message=settled.message,
            begun_at=now,
            **leases.FREE,
            waits_for=None,
            waits_since=None,
        )
    )


def _is(due: DueTime) -> ColumnElement[bool]:
    return and_(schedule_due.c.schedule_id == due.schedule_id, schedule_due.c.due_at == due.due_at)


def last_run(connection: Connection, schedule_id: int) -> tuple[int, int] | None:
    """Return the manifest and the model, by their ids, of a schedule's newest run."""
    row = connection.execute(
        select(run.c.manifest_id, run.c.model_id)
        .where(run.c.schedule_id == schedule_id)
        .order_by(run.c.id.desc())
        .limit(1)
    ).first()
    return None if row is None else (row.manifest_id, row.model_id)


def last_begun(database: Database, schedule_id: int) -> datetime | None:
    """Return the last time at which a schedule was acted on without a failure, None before the first."""
    begun = select(func.max(schedule_due.c.begun_at)).where(
        schedule_due.c.schedule_id == schedule_id,
        schedule_due.c.state.in_((DueState.BEGUN, DueState.NOTHING_NEW)),
    )
    with database.read() as connection:
        last: datetime | None = connection.execute(begun).scalar_one()
    return last
