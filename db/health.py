"""What an operator asks of a database as a whole: whether it takes changes, and its clock."""

from sqlalchemy import select, text

from db.database import Database, clock


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
