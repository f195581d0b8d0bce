"""Answers from the views: the text of a query and its values in, rows out; for reports, exports, people."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Final

from sqlalchemy import BindParameter, Text, bindparam, collate, column, inspect, select, table, text

from db.away import is_refused_change
from db.database import Connection, Database, DriverError, Record, SqlRow, SqlValue
from db.errors import DatabaseError
from db.schema.base import UtcDateTime

Rows = list[Record]

AT_ONCE: Final = 16_384
"""Rows of a stream that are in memory at a time."""

_SORT_KIB: Final = 8_192
"""SQLite sorts in memory up to the size of its cache, and on disk beyond it."""


_NO_VIEW: Final = re.compile(r"no such table: (\S+)|relation \"(.+?)\" does not exist")
_NO_COLUMN: Final = re.compile(r"no such column: (\S+)|column \"?(.+?)\"? does not exist")
"""As SQLite and PostgreSQL (with English messages) say it."""


class QueryError(DatabaseError):
    """The database refuses a person's query; the message is its own, or says what there is instead."""


def ask(database: Database, query: str) -> tuple[list[str], Sequence[SqlRow]]:
    """Return the columns and rows of a person's query, which can change nothing; QueryError if it fails."""
    try:
        query.encode()
    except UnicodeEncodeError as error:
        raise QueryError(
            f"letter {error.start + 1} of the query is not UTF-8; a terminal's LANG says what it sends"
        ) from error
    try:
        with database.read_only() as connection:
            result = connection.execute(text(query.replace(":", r"\:")))
            if not result.returns_rows:
                raise QueryError("this is not a query: it returns no rows")
            return list(result.keys()), result.fetchall()
    except DriverError as error:
        raise QueryError(_explained(database, query, error)) from error


def columns_of_views(database: Database) -> dict[str, list[str]]:
    """Return the views that people query, by name, with their columns in order."""
    with database.read() as connection:
        found = inspect(connection)
        names = sorted(found.get_view_names())
        return {name: [field["name"] for field in found.get_columns(name)] for name in names}


def _explained(database: Database, query: str, error: DriverError) -> str:
    """Say what a query did wrong: a name that is not there is answered with those that are."""
    cause = error.orig or error
    message = str(cause).strip()
    if is_refused_change(cause):
        return f"sql only reads: {message}"
    if found := _NO_VIEW.search(message):
        views = columns_of_views(database)
        name = found[1] or found[2]
        return f"there is no view {name}{_near(name, views)}; there are {', '.join(views)}"
    if found := _NO_COLUMN.search(message):
        name = (found[1] or found[2]).rpartition(".")[2]
        views = columns_of_views(database)
        asked = {view: views[view] for view in re.findall(r"\w+", query.lower()) if view in views}
        there = "; ".join(f"{view} has {', '.join(fields)}" for view, fields in asked.items())
        near = _near(name, [field for fields in asked.values() for field in fields])
        return f"there is no column {name}{near}" + (f"; {there}" if there else "")
    return message


def _near(name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name.lower(), dict.fromkeys(names), n=2)
    return f" (perhaps {' or '.join(near)})" if near else ""


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
