"""Leases: the right to work on something until a given time, under a token of one's own.

The tables of batches, evaluations and sendings have the columns id, state, attempt, lease_token and
lease_expires_at. Times are read off the database's clock, as workers' clocks may differ.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import uuid4

from sqlalchemy import ColumnElement, Table, Update, and_, case, exists, or_, update

from db.database import Connection, Database, clock
from db.states import BatchState, EvaluationState

_DUE: Final = EvaluationState.DUE
_QUEUED: Final = EvaluationState.QUEUED
"""The same words as SendingState's."""

_RUNNING: Final = BatchState.RUNNING
"""The same word as the other states' RUNNING."""

_DONE: Final = BatchState.DONE
"""The same word as the other states' DONE."""

LONGEST_PAUSE_SECONDS: Final = 300.0
"""Between two tries of what waits for something that is away."""

FREE: Final = {"lease_token": None, "lease_expires_at": None}
"""The columns of a row that nobody holds."""

FINISHED: Final = {"state": _DONE, "lease_expires_at": None}
"""The columns of a row whose results are written: it keeps the token under which they were."""


def new_token() -> str:
    """Make a lease's token: once for each claim, outside of whatever repeats its transaction."""
    return uuid4().hex


def pause(since: datetime | None, now: datetime) -> float:
    """Return the seconds until something is tried again that has been away since `since`, None for just now.

    Half as long as it has been away already, and at most LONGEST_PAUSE_SECONDS.
    """
    return 0.0 if since is None else min((now - since).total_seconds() / 2, LONGEST_PAUSE_SECONDS)


def announce(table: Table, resend_after_seconds: float, *of: ColumnElement[bool]) -> Update:
    """Return the UPDATE that marks rows as queued which are due, or were announced long ago and not claimed.

    `of`: further conditions. The table has a column sent_at, seconds by the database's clock.
    """
    unclaimed = and_(table.c.state == _QUEUED, table.c.sent_at < clock() - resend_after_seconds)
    return (
        update(table).where(or_(table.c.state == _DUE, unclaimed), *of).values(state=_QUEUED, sent_at=clock())
    )


def put_back(database: Database, table: Table, ids: Sequence[int]) -> None:
    """Make rows due again whose messages could not be sent, unless a worker has one all the same."""
    with database.write() as connection:
        connection.execute(
            update(table)
            .where(table.c.id.in_(ids), table.c.state == _QUEUED)
            .values(state=_DUE, sent_at=None)
        )


def take(table: Table, row_id: int, claimable: Sequence[StrEnum], token: str, seconds: float) -> Update:
    """Return the UPDATE that takes a row's lease and counts the attempt, in one of the states `claimable`.

    A transaction whose COMMIT was not answered may be repeated: a row that is held under the very token is
    taken again, and the attempt counts once.
    """
    return (
        update(table)
        .where(table.c.id == row_id, or_(table.c.state.in_(claimable), held(table, row_id, token)))
        .values(
            state=_RUNNING,
            attempt=table.c.attempt + case((held(table, row_id, token), 0), else_=1),
            lease_token=token,
            lease_expires_at=clock() + seconds,
        )
    )


def held(table: Table, row_id: int, token: str) -> ColumnElement[bool]:
    """Return the condition that a row's lease is held under the token, expired or not."""
    return and_(table.c.id == row_id, table.c.state == _RUNNING, table.c.lease_token == token)


def finished_under(connection: Connection, table: Table, row_id: int, token: str) -> bool:
    """Return whether a row's results were written under the token: the first COMMIT had succeeded."""
    done = exists().where(table.c.id == row_id, table.c.state == _DONE, table.c.lease_token == token)
    return bool(connection.execute(done.select()).scalar_one())


def renew(database: Database, table: Table, row_id: int, token: str, seconds: float) -> bool:
    """Extend a lease; False if it was lost, and the work is in vain.

    True also where the results are written already: whoever wrote them may not know it yet.
    """
    with database.write() as connection:
        renewed = connection.execute(
            update(table).where(held(table, row_id, token)).values(lease_expires_at=clock() + seconds)
        )
        return renewed.rowcount == 1 or finished_under(connection, table, row_id, token)


def overdue(table: Table) -> ColumnElement[bool]:
    """Return the condition that a row's holder stopped renewing."""
    return and_(table.c.state == _RUNNING, table.c.lease_expires_at < clock())
