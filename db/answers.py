"""Answers from the views: the text of a query and its values in, rows out; for reports, exports, people."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from sqlalchemy import BindParameter, Text, bindparam, collate, column, select, table, text

from db.database import Connection, Database, DriverError, Record, SqlRow, SqlValue
from db.errors import DatabaseError
from db.schema.base import UtcDateTime

Rows = list[Record]

AT_ONCE: Final = 16_384
"""Rows of a stream that are in memory at a time."""

_SORT_KIB: Final = 8_192
"""SQLite sorts in memory up to the size of its cache, and on disk beyond it."""


class QueryError(DatabaseError):
    """The database refuses a person's query; the message is its own."""


def ask(database: Database, query: str) -> tuple[list[str], Sequence[SqlRow]]:
    """Return the columns and rows of a person's query, which can change nothing; QueryError if it fails."""
    try:
        with database.read_only() as connection:
            result = connection.execute(text(query.replace(":", r"\:")))
            if not result.returns_rows:
                raise QueryError("this is not a query: it returns no rows")
            return list(result.keys()), result.fetchall()
    except DriverError as error:
        raise QueryError(str(error.orig).strip()) from error


def read_rows(connection: Connection, query: str, moments: Sequence[str] = (), **values: object) -> Rows:
    """Read a query's rows; `moments` names the columns that are times; a list of texts is for IN."""
    lists: list[BindParameter[SqlValue]] = [
        bindparam(name, type_=Text, expanding=True)
        for name, value in values.items()
        if isinstance(value, list)
    ]
    asked = text(query).bindparams(*lists).columns(**dict.fromkeys(moments, UtcDateTime))
    return [dict(row) for row in connection.execute(asked, values).mappings()]


@contextmanager
def streamed(
    database: Database, view: str, run_id: int, columns: Mapping[str, bool], order: Sequence[str]
) -> Iterator[Iterator[tuple[SqlValue, ...]]]:
    """Stream a run's rows of a view as of one moment; `columns` says of each column whether it is a time.

    They are ordered by the bytes of `order`, so that both databases return the same rows wherever they run.
    """
    chosen = {
        name: column(name, UtcDateTime) if is_time else column(name) for name, is_time in columns.items()
    }
    collation = "C" if database.dialect == "postgresql" else "BINARY"
    keys = [chosen[name] if name.endswith("_id") else collate(chosen[name], collation) for name in order]
    named = table(view, *chosen.values())
    query = select(*named.c).where(named.c.run_id == run_id).order_by(*keys)
    with database.read() as connection:
        if database.dialect == "postgresql":
            # A pager reads as slowly as it likes; nobody waits for a transaction that only reads.
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        else:
            connection.exec_driver_sql(f"PRAGMA cache_size=-{_SORT_KIB}")
        rows = connection.execution_options(yield_per=AT_ONCE).execute(query)
        yield (tuple(row) for row in rows)
