"""What an operator asks of a database: whether it takes changes, its clock, and whether a run moves."""

from datetime import UTC, datetime

from sqlalchemy import exists, func, select, text

from db.database import Database, clock
from db.schema.runs import batch
from db.schema.watch import watch


def require_writable(database: Database) -> None:
    """Raise DatabaseAwayError or DatabaseError unless a change is taken; none is left."""
    with database.write() as connection:
        # PostgreSQL refuses a read-only transaction's row lock; SQLite has the write lock by now.
        connection.execute(text("UPDATE run SET status = status WHERE id = -1"))


def clock_of(database: Database) -> float:
    """Return the database's own time, in seconds since 1970."""
    with database.read() as connection:
        seconds: float = connection.execute(select(clock())).scalar_one()
        return seconds


def seconds_still(database: Database, run_id: int) -> float:
    """Return for how long nothing was noted of a run: no lease held, no batch ended, no reconciliation.

    0.0 of one of which nothing was noted yet.
    """
    with database.read() as connection:
        of_run = batch.c.run_id == run_id
        if connection.execute(
            select(exists().where(of_run, batch.c.lease_expires_at > clock()))
        ).scalar_one():
            return 0.0
        unseen = connection.execute(select(clock() - watch.c.seen_at)).scalar_one_or_none()
        ended = connection.execute(select(func.max(batch.c.finished_at)).where(of_run)).scalar_one()
    since_batch = None if ended is None else (datetime.now(UTC) - ended).total_seconds()
    return max(0.0, min((passed for passed in (unseen, since_batch) if passed is not None), default=0.0))
