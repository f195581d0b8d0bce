"""The database's lines, of real ones that are as they must be and that are not."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from support import free_port

from config.settings import Settings
from db.database import Database
from db.upgrade import HEAD, upgrade
from jobs.doctor import database as door
from jobs.doctor.verdict import Night, State, Verdict


def asked(url: str) -> dict[str, Verdict]:
    settings = Settings.model_validate({"database_url": url})
    return {verdict.name: verdict for verdict in door.ask(Night(settings))}


def stated(url: str, *statements: str) -> None:
    database = Database(url)
    for statement in statements:
        with database.write() as connection:
            connection.execute(text(statement))
    database.dispose()


@pytest.mark.processes
def test_postgresql_as_it_must_be(ready_postgresql_url: str) -> None:
    found = asked(ready_postgresql_url)
    assert {name: verdict.state for name, verdict in found.items()} == {
        "database": State.OK,
        "database's clock": State.OK,
    }
    assert HEAD in found["database"].seen


@pytest.mark.processes
def test_postgresql_without_tables(postgresql_url: str) -> None:
    found = asked(postgresql_url)["database"]
    assert found.state is State.FAULT
    assert "has no tables yet" in found.seen
    assert found.advice == "nightread db upgrade"


@pytest.mark.processes
@pytest.mark.parametrize(
    ("migration", "words", "advice"),
    [("0001", "is at migration 0001", "db upgrade"), ("9999", "by a newer version", "install the newer")],
)
def test_postgresql_of_another_version(
    ready_postgresql_url: str, migration: str, words: str, advice: str
) -> None:
    stated(ready_postgresql_url, f"UPDATE alembic_version SET version_num = '{migration}'")
    found = asked(ready_postgresql_url)["database"]
    assert found.state is State.FAULT
    assert words in found.seen
    assert advice in found.advice


@pytest.mark.processes
def test_postgresql_that_is_read_only(ready_postgresql_url: str) -> None:
    name = ready_postgresql_url.partition("?")[0].rpartition("/")[2]
    stated(ready_postgresql_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    found = asked(ready_postgresql_url)["database"]
    assert found.state is State.FAULT
    assert "read-only" in found.seen


@pytest.mark.processes
@pytest.mark.parametrize(
    ("seconds", "state"), [(5, State.WARNING), (3600, State.FAULT), (-3600, State.FAULT)]
)
def test_postgresql_whose_clock_is_another(
    monkeypatch: pytest.MonkeyPatch, ready_postgresql_url: str, seconds: int, state: State
) -> None:
    now = time.time
    monkeypatch.setattr(
        time, "time", lambda: now() + seconds
    )  # ours is moved, as no test may move a server's
    found = asked(ready_postgresql_url)["database's clock"]
    assert found.state is state
    assert f"s {'behind' if seconds > 0 else 'ahead of'} ours" in found.seen


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    found = asked(f"postgresql://me:hunter2@127.0.0.1:{free_port()}/none")["database"]
    assert found.state is State.FAULT
    assert "does not answer" in found.seen
    assert "hunter2" not in found.seen + found.advice


def empty(file: Path) -> None:
    file.touch()


def no_database(file: Path) -> None:
    file.write_text("a letter, and no database at all" * 40)


def older(file: Path) -> None:
    database = Database(f"sqlite:///{file}")
    upgrade(database)
    database.dispose()
    stated(f"sqlite:///{file}", "UPDATE alembic_version SET version_num = '0001'")


@pytest.mark.parametrize(
    ("make", "state", "words"),
    [
        (empty, State.WARNING, "has no tables yet"),
        (older, State.WARNING, "is at migration 0001"),
        (no_database, State.FAULT, "file is not a database"),
    ],
)
def test_the_embedded_file(tmp_path: Path, make: Callable[[Path], None], state: State, words: str) -> None:
    make(tmp_path / "nightread.db")
    (found,) = door.ask(Night(Settings(home=tmp_path)))
    assert found.state is state
    assert words in found.seen
    assert found.advice


def test_the_embedded_file_is_not_made(tmp_path: Path) -> None:
    (found,) = door.ask(Night(Settings(home=tmp_path / "home")))
    assert found.state is State.OK
    assert not (tmp_path / "home").exists()
