"""Leases: the right to work on a batch or an evaluation until a given time, under a token of one's own.

Both tables have the columns id, state, attempt, lease_token and lease_expires_at. Times are read off the
database's clock, as workers' clocks may differ.
"""

from typing import Final

from sqlalchemy import ColumnElement, Table, Update, and_, update

from db.database import Database, clock
from db.states import BatchState

_RUNNING: Final = BatchState.RUNNING
"""The same word as EvaluationState.RUNNING."""

FREE: Final = {"lease_token": None, "lease_expires_at": None}
"""The columns of a row that nobody holds."""


def take(table: Table, row_id: int, token: str, seconds: float) -> Update:
    """Return the UPDATE that takes a row's lease and counts the attempt; the caller adds the states."""
    return (
        update(table)
        .where(table.c.id == row_id)
        .values(
            state=_RUNNING,
            attempt=table.c.attempt + 1,
            lease_token=token,
            lease_expires_at=clock() + seconds,
        )
    )


def held(table: Table, row_id: int, token: str) -> ColumnElement[bool]:
    """Return the condition that a row's lease is held under the token, expired or not."""
    return and_(table.c.id == row_id, table.c.state == _RUNNING, table.c.lease_token == token)


def renew(database: Database, table: Table, row_id: int, token: str, seconds: float) -> bool:
    """Extend a lease; False if it was lost, and the work is in vain."""
    with database.write() as connection:
        renewed = connection.execute(
            update(table).where(held(table, row_id, token)).values(lease_expires_at=clock() + seconds)
        )
        return renewed.rowcount == 1


def overdue(table: Table) -> ColumnElement[bool]:
    """Return the condition that a row's holder stopped renewing."""
    return and_(table.c.state == _RUNNING, table.c.lease_expires_at < clock())
