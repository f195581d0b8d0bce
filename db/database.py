"""Sessions: read and write transactions on SQLite and PostgreSQL, and bulk loading for both."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, Row, Table, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import Double, Float, Integer, TypeEngine

from config.files import make_home
from db.away import away_reason, is_damaged
from db.errors import DatabaseAwayError, DatabaseError

__all__ = [
    "BUSY_TIMEOUT_MS",
    "IDLE_TRANSACTION_MS",
    "Connection",
    "Database",
    "DriverError",
    "Record",
    "SqlRow",
    "SqlValue",
    "bulk_insert",
    "clock",
    "driver_of",
    "insert_rows",
]

DriverError = DBAPIError
"""A statement failed for a reason that no waiting mends. `orig` is the driver's own error."""

SqlValue = Any
"""What one field of a row holds; its type depends on the query."""

SqlRow = Row[*tuple[SqlValue, ...]]
"""A row as a query returns it."""

Record = dict[str, SqlValue]
"""A row by the names of its columns."""

_DriverConnection = Any
"""sqlite3's connection or psycopg's; which one depends on the URL."""

BUSY_TIMEOUT_MS: Final = 30_000
IDLE_TRANSACTION_MS: Final = 30_000
"""PostgreSQL ends a connection that is idle in a transaction; ours compute before they begin one."""
_WRITES: Final = "nightread_writes"


class _Clock(FunctionElement[float]):
    type = Double()
    inherit_cache = True


def clock() -> FunctionElement[float]:
    """Make the SQL for seconds since 1970 on the database's own clock, which all workers share."""
    return _Clock()


@compiles(_Clock, "postgresql")
def _clock_postgresql(*_: object, **__: object) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"


@compiles(_Clock, "sqlite")
def _clock_sqlite(*_: object, **__: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


class Database:
    """One process's door to the ledger; make it after a fork or spawn, never before."""

    def __init__(self, url: str) -> None:
        """Connect lazily to `url`, an SQLite or PostgreSQL URL."""
        parsed = _parsed(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        self.dialect: str = parsed.get_backend_name()
        if self.dialect == "sqlite":
            if parsed.database is None:
                raise DatabaseError("an SQLite database needs a file; one in memory is lost with its process")
            make_home(
                Path(parsed.database.removeprefix("file:")).parent,  # of a URI that SQLite reads
                "NIGHTREAD_HOME names the folder of an embedded database, NIGHTREAD_DATABASE_URL another one",
            )
            # A pre-ping would waste time here: there is no server that could have gone away.
            self.engine = create_engine(
                parsed, hide_parameters=True, connect_args={"check_same_thread": False}
            )
            _prepare_sqlite(self.engine)
        else:
            self.engine = create_engine(
                parsed,
                pool_pre_ping=True,
                hide_parameters=True,  # values may name patients; they do not belong in a log
                pool_size=4,
                connect_args={
                    "connect_timeout": 10,
                    "application_name": "nightread",
                    # A worker that freezes within a transaction must not keep its rows locked for all others.
                    "options": f"-c idle_in_transaction_session_timeout={IDLE_TRANSACTION_MS}",
                },
            )
        self._writer = self.engine.execution_options(**{_WRITES: True})

    @property
    def where(self) -> str:
        """The URL without its password, for messages."""
        # A password may be among the parameters, too.
        return self.engine.url.set(query={}).render_as_string(hide_password=True)

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database; None of a server."""
        name = self.engine.url.database
        return Path(name) if self.dialect == "sqlite" and name is not None else None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Return a connection in a read transaction; DatabaseAwayError where waiting may help."""
        with self._explained(), self._reading() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            yield connection
            # Not by COMMIT: what was read stays read if the connection breaks here.
            with suppress(DBAPIError):
                connection.rollback()

    @contextmanager
    def read_only(self) -> Iterator[Connection]:
        """Return a connection on which the database itself refuses every change; for queries by people.

        One statement at a time. PostgreSQL allows some side effects even in a read-only transaction; a role
        without these rights prevents them: docs/security.md.
        """
        with self._explained(asked_to_write=False), self._reading() as connection:
            driver = driver_of(connection)
            if self.dialect == "postgresql":
                connection.exec_driver_sql("SET TRANSACTION READ ONLY")
                # A superuser could start programs and read the server's files; in this role it cannot.
                connection.exec_driver_sql(
                    "SELECT set_config('role', 'pg_read_all_data', true) FROM pg_roles "
                    "WHERE rolname = current_user AND rolsuper"
                )
                # Sent as it is, a text may hold several statements, the first of which ends this transaction.
                # A prepared text is one statement.
                kept, driver.prepare_threshold = driver.prepare_threshold, 0
                try:
                    yield connection
                finally:
                    driver.prepare_threshold = kept
                return
            connection.exec_driver_sql("PRAGMA query_only=ON")
            driver.set_authorizer(_neither_files_nor_pragmas)
            try:
                yield connection
            finally:
                driver.set_authorizer(None)
                connection.exec_driver_sql("PRAGMA query_only=OFF")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Return a connection in a write transaction, committed at the end and rolled back on an error.

        DatabaseAwayError where waiting may help; then it may have been committed all the same, as the answer
        to its COMMIT can be lost.

        On SQLite it takes the write lock at once (BEGIN IMMEDIATE): a transaction that read first and wants
        to write later fails at once when another one wrote in between, whatever the busy timeout.
        """
        with self._explained(), self._writer.begin() as connection:
            yield connection

    def analyze(self) -> None:
        """Have the database gather statistics of its tables, by which it plans queries.

        Without them SQLite takes a run for a handful of rows: joining two views of 3,000 images took 198 s,
        and 0.16 s with them.
        """
        with self.write() as connection:
            if self.dialect == "sqlite":
                connection.exec_driver_sql("PRAGMA analysis_limit=1000")
            connection.exec_driver_sql("ANALYZE")

    def vacuum(self, tables: Iterable[str]) -> None:
        """Free the space of deleted rows: PostgreSQL's tables take new rows there, SQLite's file shrinks.

        SQLite writes the whole file again, for which it needs as much space, and nobody else writes
        meanwhile.
        """
        # Neither database does it in a transaction, and by its driver none is begun.
        with self._explained(), self.engine.connect() as connection:
            driver = driver_of(connection)
            if self.dialect == "sqlite":
                driver.execute("VACUUM")
                driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                return
            connection.rollback()
            driver.autocommit = True
            try:
                for table in tables:
                    driver.execute(f"VACUUM (ANALYZE) {table}")
            finally:
                driver.autocommit = False

    @contextmanager
    def _explained(self, *, asked_to_write: bool = True) -> Iterator[None]:
        """Sort the driver's errors: DatabaseAwayError, DatabaseError, and DriverError for all others."""
        try:
            yield
        except (DBAPIError, self.engine.dialect.loaded_dbapi.Error) as error:
            cause = (error.orig or error) if isinstance(error, DBAPIError) else error
            reason = away_reason(cause, str(self.file or self.where), asked_to_write=asked_to_write)
            if reason is not None:
                raise DatabaseAwayError(reason) from error
            if (
                asked_to_write
                and isinstance(cause, sqlite3.OperationalError)
                and "no such table" in str(cause)
            ):
                raise DatabaseError(
                    f"{self.where} has no Nightread tables; run: nightread db upgrade"
                ) from error
            if is_damaged(cause):
                raise DatabaseError(
                    f"{self.where} is damaged, or no database of Nightread: {cause}"
                ) from error
            raise

    def dispose(self) -> None:
        """Close the connections."""
        self.engine.dispose()


def _parsed(url: str) -> URL:
    """Parse a URL; DatabaseError quotes nothing of it, as any part may belong to its password."""
    with suppress(ArgumentError, ValueError):
        parsed = make_url(url)
        if "@" not in (parsed.host or ""):
            return parsed
    raise DatabaseError(
        "the database's URL cannot be read; it is postgresql://user:password@host:port/name, and in user and "
        "password each of @ : / ? # % is written as % and its code, %40 for @"
    )


def _neither_files_nor_pragmas(action: int, *_: object) -> int:
    """Refuse what `query_only` lets pass: ATTACH makes a file, and a pragma would switch `query_only` off."""
    refused = action in {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_PRAGMA}
    return sqlite3.SQLITE_DENY if refused else sqlite3.SQLITE_OK


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # the driver opens no transactions of its own: _begin does
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        # A power cut may lose the last commits, never the file; the lost batches are then scored again.
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA cache_size=-65536")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def driver_of(connection: Connection) -> _DriverConnection:
    """Return the driver's own connection, for what SQLAlchemy does not offer."""
    driver = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("the connection was given back")
    return driver


def insert_rows(
    connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[SqlValue]]
) -> None:
    """Insert a batch's rows of plain values in one statement; for workers.

    On PostgreSQL not by COPY, during which the server waits for its client without any time limit: a worker
    that froze there would keep its batch's row locked. One array per column is nearly as fast.
    """
    values = list(rows)
    if connection.dialect.name != "postgresql":
        bulk_insert(connection, table, columns, values)
    elif values:
        arrays = ", ".join(f"%s::{table.c[name].type.compile(connection.dialect)}[]" for name in columns)
        statement = f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT * FROM unnest({arrays})"  # noqa: S608
        by_column = zip(columns, zip(*values, strict=True), strict=True)
        connection.exec_driver_sql(
            statement, tuple(_array(table.c[name].type, column) for name, column in by_column)
        )


def _array(type_: TypeEngine[SqlValue], values: Sequence[SqlValue]) -> list[SqlValue] | str:
    """Return values as the driver takes an array; numbers as text, five times as fast as the driver's own."""
    if isinstance(type_, Integer | Float):
        return f"{{{','.join(['NULL' if value is None else str(value) for value in values])}}}"
    return list(values)


def bulk_insert(
    connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[SqlValue]]
) -> None:
    """Insert many rows of plain values: COPY on PostgreSQL, one prepared statement on SQLite.

    Values go to the driver as they are (no SQLAlchemy types in between): str, int, float, bytes, None.
    """
    names = ", ".join(columns)
    driver = driver_of(connection)
    if connection.dialect.name == "postgresql":
        with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    else:
        marks = ", ".join("?" * len(columns))
        driver.executemany(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", rows)  # noqa: S608  # our names
