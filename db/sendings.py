"""The ledger of sendings: a run's results that a worker sends once the run is complete.

Which objects those are, and what the receiver said of each, is in `db.deliveries`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import Connection, ScalarSelect, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from db import leases
from db.alerts import raise_unsent
from db.database import Database, clock
from db.deliveries import NOT_DICOM
from db.receipts import write_once
from db.schema.deliveries import delivery, sending
from db.schema.runs import run
from db.schema.schedules import schedule
from db.states import CLAIMABLE_SENDINGS, OPEN_SENDINGS, DeliveryState, RunStatus, SendingState

_ALERT_AFTER: Final = timedelta(hours=1)
"""Of waiting for a receiver, or for the films' source."""


@dataclass(frozen=True, slots=True)
class SendingClaim:
    """A sending whose lease this worker holds.

    `kinds`: what is sent, None for all that the run has. `waits_for`: what kept the try before from going on.
    """

    sending_id: int
    run_id: int
    target: str
    kinds: tuple[str, ...] | None
    tls: bool
    waits_for: str | None
    token: str


@dataclass(frozen=True, slots=True)
class Sending:
    """A sending as people ask for it; `left`: objects that are still to be sent, as far as that is known."""

    run_id: int
    target: str
    state: SendingState
    schedule: str | None
    run_status: RunStatus
    waits_for: str | None
    waits_since: datetime | None
    message: str | None
    sent: int
    left: int
    refused: int
    unusable: int

    @property
    def unsent(self) -> int:
        """Objects that the receiver has not, and that are or might have been made."""
        return self.left + self.refused + self.unusable


class Announcement(NamedTuple):
    """A sending that is due, for its message."""

    sending_id: int
    run_id: int


def ask(
    connection: Connection, run_id: int, target: str, kinds: Sequence[str] | None = None, *, tls: bool = False
) -> None:
    """Have a run's results sent once it is complete; what is asked for already stays as it is."""
    connection.execute(
        upsert(sending)
        .values(
            run_id=run_id,
            target=target,
            formats=None if kinds is None else ",".join(kinds),
            tls=tls,
            created_at=datetime.now(UTC),
        )
        .on_conflict_do_nothing()
    )


def reopen(connection: Connection, run_id: int) -> None:
    """Have the results sent that a run will have beside those that were sent."""
    connection.execute(
        update(sending)
        .where(sending.c.run_id == run_id, sending.c.state == SendingState.DONE)
        .values(state=SendingState.DUE, sent_at=None, not_before=None, ended_at=None, lease_token=None)
    )


def take_due(database: Database, resend_after_seconds: float) -> list[Announcement]:
    """Mark the sendings of complete runs that are due, or were announced long ago, as queued."""
    complete = select(run.c.id).where(run.c.id == sending.c.run_id, run.c.status == RunStatus.COMPLETE)
    ready = or_(sending.c.not_before.is_(None), sending.c.not_before <= clock())
    with database.write() as connection:
        rows = connection.execute(
            leases.announce(sending, resend_after_seconds, complete.exists(), ready).returning(
                sending.c.id, sending.c.run_id
            )
        )
        return [Announcement(*row) for row in rows]


def put_back(database: Database, sending_ids: Sequence[int]) -> None:
    """Make sendings due again whose messages could not be sent."""
    leases.put_back(database, sending, sending_ids)


def claim(database: Database, sending_id: int, lease_seconds: float, token: str) -> SendingClaim | None:
    """Take a sending's lease; None if it is over or leased to another. `token` as for a batch's claim."""
    with database.write() as connection:
        row = connection.execute(
            leases.take(sending, sending_id, CLAIMABLE_SENDINGS, token, lease_seconds).returning(
                *(sending.c[name] for name in ("run_id", "target", "formats", "tls", "waits_for"))
            )
        ).first()
    if row is None:
        return None
    kinds = None if row.formats is None else tuple(row.formats.split(","))
    return SendingClaim(sending_id, row.run_id, row.target, kinds, row.tls, row.waits_for, token)


def renew(database: Database, held: SendingClaim, lease_seconds: float) -> bool:
    """Extend the lease; False if it was lost."""
    return leases.renew(database, sending, held.sending_id, held.token, lease_seconds)


def release(database: Database, held: SendingClaim, waits_for: str | None = None) -> None:
    """Give a sending back that goes on later; without an attempt used, as it was nobody's fault.

    `waits_for`: what is away, None where others were to have their turn. After an hour of waiting the run's
    schedule raises an alert.
    """
    now = datetime.now(UTC)
    mine = leases.held(sending, held.sending_id, held.token)
    with database.write() as connection:
        since = connection.execute(select(sending.c.waits_since).where(mine)).scalar_one_or_none()
        waits = waits_for is not None
        connection.execute(
            update(sending)
            .where(mine)
            .values(
                **leases.FREE,
                state=SendingState.DUE,
                attempt=0,
                sent_at=None,
                waits_for=waits_for,
                waits_since=(since or now) if waits else None,
                not_before=clock() + leases.pause(since, now) if waits else None,
            )
        )
        if waits and since is not None and now - since > _ALERT_AFTER:
            raise_unsent(connection, held.run_id, f"results for {held.target} wait: {waits_for}")


def finish(database: Database, held: SendingClaim, failure: str | None = None) -> bool:
    """Write that a sending is over, False without the lease; `failure`: why nothing could be sent.

    What the receiver refused or could not be made, and a failure, are an alert of the run's schedule.
    """
    with database.write() as connection:
        ended = connection.execute(
            update(sending)
            .where(leases.held(sending, held.sending_id, held.token))
            .values(
                leases.FINISHED
                | {"waits_for": None, "waits_since": None, "message": failure, "ended_at": datetime.now(UTC)}
                | ({} if failure is None else {"state": SendingState.FAILED})
            )
        )
        if ended.rowcount != 1:
            return leases.finished_under(connection, sending, held.sending_id, held.token)
        lacking = connection.execute(
            select(func.count()).where(
                delivery.c.run_id == held.run_id,
                delivery.c.target == held.target,
                delivery.c.state.in_((DeliveryState.REFUSED, DeliveryState.UNUSABLE)),
                delivery.c.status.is_distinct_from(NOT_DICOM),
            )
        ).scalar_one()
        if failure is not None:
            raise_unsent(connection, held.run_id, f"results are not sent to {held.target}: {failure}")
        elif lacking:
            about = f"{held.target} has not {lacking:,} results, which it refused or which could not be made"
            raise_unsent(connection, held.run_id, f"{about}; see: nightread deliveries {held.run_id}")
    return True


def expire(database: Database, max_attempts: int) -> int:
    """Take back sendings whose worker stopped renewing; after `max_attempts` they are given up."""
    overdue = leases.overdue(sending)
    with database.write() as connection:
        again = connection.execute(
            update(sending)
            .where(overdue, sending.c.attempt < max_attempts)
            .values(state=SendingState.DUE, **leases.FREE)
        ).rowcount
        message = f"its worker died {max_attempts} times in a row (see the workers' log)"
        spent = connection.execute(
            update(sending)
            .where(overdue)
            .values(**leases.FREE, state=SendingState.FAILED, message=message, ended_at=datetime.now(UTC))
            .returning(sending.c.run_id, sending.c.target)
        ).all()
        for row in spent:
            raise_unsent(connection, row.run_id, f"results are not sent to {row.target}: {message}")
        return again + len(spent)


def cancel(database: Database, run_id: int) -> int:
    """Stop the sendings of a run; returns how many were open. Objects that were sent stay where they are."""
    stop = (
        update(sending)
        .where(sending.c.run_id == run_id, sending.c.state.in_(OPEN_SENDINGS))
        .values(**leases.FREE, state=SendingState.CANCELLED, waits_for=None, waits_since=None)
    )
    return write_once(database, lambda connection: connection.execute(stop).rowcount)


def of_run(database: Database, run_id: int) -> list[Sending]:
    """Return a run's sendings."""
    return _found(database, run_id, everything=True)


def unsent(database: Database, run_id: int) -> bool:
    """Return whether a run's results are still to be sent."""
    return any(not found.state.settled for found in of_run(database, run_id))


def unfinished(database: Database) -> list[Sending]:
    """Return the sendings of all runs that are not over."""
    return _found(database, None, everything=False)


def _found(database: Database, run_id: int | None, *, everything: bool) -> list[Sending]:
    def counted(state: DeliveryState) -> ScalarSelect[int]:
        return (
            select(func.count())
            .where(
                delivery.c.run_id == sending.c.run_id,
                delivery.c.target == sending.c.target,
                delivery.c.state == state,
                delivery.c.status.is_distinct_from(NOT_DICOM),
            )
            .scalar_subquery()
        )

    query = (
        select(
            *(sending.c.run_id, sending.c.target, sending.c.state, schedule.c.name, run.c.status),
            *(sending.c.waits_for, sending.c.waits_since, sending.c.message),
            counted(DeliveryState.SENT),
            counted(DeliveryState.PENDING),
            counted(DeliveryState.REFUSED),
            counted(DeliveryState.UNUSABLE),
        )
        .join(run, run.c.id == sending.c.run_id)
        .outerjoin(schedule, schedule.c.id == run.c.schedule_id)
        .order_by(sending.c.id)
    )
    if run_id is not None:
        query = query.where(sending.c.run_id == run_id)
    if not everything:
        query = query.where(sending.c.state.in_(OPEN_SENDINGS))
    with database.read() as connection:
        return [Sending(*row) for row in connection.execute(query)]
