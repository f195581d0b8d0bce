"""`nightread sql` and whatever else reads for a person: one statement, and nothing is changed by it."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import MetaData, make_url, text
from sqlalchemy.exc import DBAPIError
from support import Nightread, make_run

from db.database import Database
from db.upgrade import upgrade

CHANGES = (
    "INSERT INTO finding (name) VALUES ('x')",
    "INSERT INTO finding (name) VALUES ('x') RETURNING id",
    "UPDATE run SET status = 'broken'",
    "DELETE FROM batch",
    "CREATE TABLE mine (id INTEGER)",
    "CREATE TEMPORARY TABLE mine AS SELECT 1",
    "CREATE VIEW mine AS SELECT 1",
    "DROP VIEW scores",
    "ALTER TABLE run ADD COLUMN mine INTEGER",
    "SELECT 1; DELETE FROM batch",
    "COMMIT; DELETE FROM batch; SELECT 1",
    "ROLLBACK; DELETE FROM batch",
    "REINDEX TABLE batch",
    "VACUUM",
)
ON_POSTGRESQL = (
    "SELECT * INTO mine FROM batch",
    "WITH gone AS (DELETE FROM batch RETURNING *) SELECT * FROM gone",
    "SELECT * FROM batch FOR UPDATE",
    "TRUNCATE batch",
    "SET TRANSACTION READ WRITE",
    "SET TRANSACTION READ WRITE; DELETE FROM batch; COMMIT",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; DELETE FROM batch",
    "DO $$ BEGIN DELETE FROM batch; END $$",
    "DO $$ BEGIN COMMIT; DELETE FROM batch; END $$",
    "SELECT nextval('run_id_seq')",
    "SELECT setval('run_id_seq', 99)",
    "SELECT lo_create(0)",
    "CREATE ROLE mine SUPERUSER",
    "GRANT ALL ON batch TO PUBLIC",
    "COPY batch FROM STDIN",
    "COPY batch FROM PROGRAM 'true'",
)
ON_SQLITE = (
    "REPLACE INTO finding (id, name) VALUES (1, 'x')",
    "ATTACH '{folder}/mine.db' AS mine",
    "VACUUM INTO '{folder}/mine.db'",
    "PRAGMA query_only = OFF",
    "PRAGMA user_version = 7",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA writable_schema = ON",
    "PRAGMA temp_store_directory = '{folder}'",
    "SELECT load_extension('{folder}/mine.so')",
    "SELECT * FROM batch; PRAGMA query_only = OFF",
)
# What a superuser may do even where nothing can be written.
BY_A_SUPERUSER = (
    "COPY (SELECT 1) TO PROGRAM 'cat > {folder}/mine'",
    "COPY (SELECT 1) TO '{folder}/mine'",
    "SELECT lo_export(0, '{folder}/mine')",
    "SELECT lo_import('/etc/hostname')",
    "SELECT pg_read_file('/etc/hostname')",
    "SELECT pg_ls_dir('/')",
    "SELECT pg_reload_conf()",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nightread'",
)


def state(database: Database) -> dict[str, list[str]]:
    """Every row of every table, and the names of all views."""
    found = MetaData()
    found.reflect(database.engine, views=True)
    with database.read() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(table.select())))
            for table in found.tables.values()
        }


def refusals(database: Database, queries: tuple[str, ...], folder: Path) -> dict[str, str]:
    """What the database says to each query; one that it lets pass fails the test."""
    told = {}
    for query in queries:
        try:
            with database.read_only() as connection:
                connection.execute(text(query.format(folder=folder)))
        except DBAPIError as refused:
            told[query] = str(refused.orig)
    assert [query for query in queries if query not in told] == []
    return told


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)  # the server may be another user's
    return folder


def test_no_statement_changes_anything(database: Database, tmp_path: Path, outside: Path) -> None:
    make_run(database, tmp_path, 8)
    before = state(database)
    assert before["batch"]
    special = ON_POSTGRESQL if database.dialect == "postgresql" else ON_SQLITE
    refusals(database, CHANGES + special, outside)
    assert state(database) == before
    assert list(outside.iterdir()) == []


def test_a_refused_statement_leaves_a_connection_that_reads_and_writes(
    database: Database, tmp_path: Path, outside: Path
) -> None:
    refusals(database, CHANGES, outside)
    run = make_run(database, tmp_path, 8)
    with database.read_only() as connection:
        assert connection.execute(text("SELECT run_id FROM progress")).scalars().all() == [run]
    with database.write() as connection:
        connection.execute(text("INSERT INTO finding (name) VALUES ('x')"))
        if database.dialect == "postgresql":
            assert connection.execute(text("SELECT current_user = session_user")).scalar_one()


def test_a_query_that_is_explained_is_answered(database: Database) -> None:
    plan = (
        "EXPLAIN SELECT * FROM scores" if database.dialect == "postgresql" else "EXPLAIN QUERY PLAN SELECT 1"
    )
    with database.read_only() as connection:
        assert connection.execute(text(plan)).all()


def test_a_superusers_query_starts_no_program_and_touches_no_file(
    postgresql: Database, outside: Path
) -> None:
    with postgresql.read() as connection:
        superuser = text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        assert connection.execute(superuser).scalar_one()
    told = refusals(postgresql, BY_A_SUPERUSER, outside)
    assert {query for query, message in told.items() if "permission denied" not in message.lower()} == set()
    assert list(outside.iterdir()) == []


@pytest.fixture
def owner_url(postgresql_server: str, postgresql_url: str) -> Iterator[str]:
    """The database as a role's own that is no superuser, as docs/machines.md has it made."""
    role = f"owner_{uuid4().hex[:12]}"
    url = make_url(postgresql_url)
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'throw-away'".encode())
        connection.execute(f"ALTER DATABASE {url.database} OWNER TO {role}".encode())
    yield url.set(username=role, password="throw-away").render_as_string(hide_password=False)
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER".encode())
        connection.execute(f"DROP OWNED BY {role}".encode())
        connection.execute(f"DROP ROLE {role}".encode())


def test_a_role_that_may_only_read_asks_with_nightread_sql(
    owner_url: str, postgresql_url: str, tmp_path: Path
) -> None:
    owner = Database(owner_url)
    upgrade(owner)
    run = make_run(owner, tmp_path, 8)
    before = state(owner)
    reader = f"reader_{uuid4().hex[:12]}"
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {reader} LOGIN PASSWORD 'throw-away'".encode())
        connection.execute(f"GRANT pg_read_all_data TO {reader}".encode())
    url = make_url(postgresql_url).set(username=reader, password="throw-away")
    asking = Nightread(tmp_path, {"NIGHTREAD_DATABASE_URL": url.render_as_string(hide_password=False)})
    assert asking.sql("SELECT run_id FROM progress") == [{"run_id": run}]
    assert asking.run("status").returncode == 0
    assert asking.run("report", str(run), "-o", tmp_path / "report.html").returncode == 0
    # Not even outside of read-only transactions, as with psql.
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        # A role may end its own connections, this one among them; it must not end the others.
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IS DISTINCT FROM user"
        for change in ("DELETE FROM batch", end):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(change.encode())
    assert state(owner) == before
    owner.dispose()
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(f"DROP ROLE {reader}".encode())


def test_the_command_says_in_one_line_what_was_refused(nightread: Nightread, tmp_path: Path) -> None:
    assert nightread.run("sql", "SELECT 1 AS one").returncode == 0
    for query in (f"ATTACH '{tmp_path}/mine.db' AS mine", "PRAGMA query_only = OFF", "SELECT 1; SELECT 2"):
        refused = nightread.call("sql", query)
        assert refused.returncode == 2
        assert len(refused.stderr.splitlines()) == 1
    assert not (tmp_path / "mine.db").exists()
