"""What is only away for now is told from what no waiting mends, by what real servers answer."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from db.answers import QueryError, ask
from db.away import away_reason
from db.database import BUSY_TIMEOUT_MS, Database
from db.errors import DatabaseAwayError, DatabaseError

NEW = text("INSERT INTO finding (name) VALUES ('x')")


def write(database: Database) -> None:
    with database.write() as connection:
        connection.execute(NEW)


class Answered(Exception):  # noqa: N818  # it stands for any of psycopg's
    """An error with the SQLSTATE that a server gave."""

    def __init__(self, state: str | None) -> None:
        super().__init__("said\nthe server")
        self.sqlstate = state


class OperationalError(Answered):
    """An error that no server gave."""


@pytest.mark.parametrize(
    "state", ["08006", "25006", "25P03", "40001", "40P01", "53100", "53300", "55P03", "57P01", "58030"]
)
def test_these_states_of_postgresql_pass(state: str) -> None:
    assert (away_reason(Answered(state), "db") or "").endswith("said the server")


@pytest.mark.parametrize("state", ["23505", "42P01", "42501", "22P02", "0A000", "XX001", "25P02"])
def test_these_states_of_postgresql_stay(state: str) -> None:
    assert away_reason(Answered(state), "db") is None


def test_where_no_server_spoke_the_connection_is_gone() -> None:
    assert away_reason(OperationalError(None), "db") == "the database does not answer: said the server"
    assert away_reason(Answered(None), "db") is None


# --- PostgreSQL --------------------------------------------------------------------------------------------


@pytest.mark.processes
def test_a_server_that_takes_no_changes_now_is_waited_for(postgresql: Database) -> None:
    with postgresql.write() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    postgresql.dispose()
    with pytest.raises(DatabaseAwayError, match="read-only transaction"):
        write(postgresql)


@pytest.mark.processes
def test_a_session_that_is_ended_in_the_middle_of_a_copy_is_waited_for(postgresql: Database) -> None:
    from db.database import bulk_insert
    from db.schema.archives import finding

    def rows() -> Iterator[tuple[str]]:
        yield ("before",)
        with postgresql.read() as other:
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY finding%'"
            assert other.execute(text(end)).scalars().all() == [True]
        yield from (("after" * 1_000 + str(number),) for number in range(1_000))

    with pytest.raises(DatabaseAwayError, match="does not answer"), postgresql.write() as connection:
        bulk_insert(connection, finding, ("name",), rows())


# --- SQLite ------------------------------------------------------------------------------------------------


def test_a_file_that_another_process_writes_is_waited_for(sqlite: Database) -> None:
    assert BUSY_TIMEOUT_MS > 0
    other = sqlite3.connect(str(sqlite.engine.url.database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with sqlite.read() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=0")
    with pytest.raises(DatabaseAwayError, match=r"nightread\.db cannot be used now: database is locked"):
        write(sqlite)
    other.close()
    write(sqlite)


def test_a_file_that_is_read_only_is_waited_for(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    read_only = Database(f"sqlite:///file:{sqlite.engine.url.database}?mode=ro&uri=true")
    with pytest.raises(DatabaseAwayError, match="readonly database"):
        write(read_only)
    read_only.dispose()
    assert not (tmp_path / "file:").exists()


def test_a_full_disk_is_named_with_the_file(sqlite: Database) -> None:
    with sqlite.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    file = str(sqlite.engine.url.database)
    large = text("INSERT INTO finding (name) VALUES (hex(zeroblob(1000000)))")
    with pytest.raises(DatabaseAwayError, match=f"no space for {file}"), sqlite.write() as connection:
        connection.execute(large)
    with sqlite.read() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    write(sqlite)


def test_a_file_that_cannot_be_opened_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "nightread.db").mkdir()
    with pytest.raises(DatabaseAwayError, match="unable to open"):
        write(Database(f"sqlite:///{tmp_path / 'nightread.db'}"))


def test_a_file_that_is_no_database_is_no_matter_of_time(tmp_path: Path) -> None:
    file = tmp_path / "nightread.db"
    file.write_bytes(os.urandom(8_192))
    with pytest.raises(DatabaseError, match="damaged, or no database"):
        write(Database(f"sqlite:///{file}"))


# --- on both -----------------------------------------------------------------------------------------------


def test_a_broken_rule_is_no_matter_of_time(database: Database) -> None:
    with pytest.raises(DBAPIError), database.write() as connection:
        connection.execute(text("INSERT INTO finding (name) VALUES (NULL)"))


def test_a_change_that_a_person_asks_for_is_refused_and_not_waited_for(database: Database) -> None:
    with pytest.raises(QueryError):
        ask(database, "DELETE FROM finding RETURNING id")
