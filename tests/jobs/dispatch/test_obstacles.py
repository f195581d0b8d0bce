"""What keeps a run from going on is named, and only that: full disks and servers that are away."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from storm.disks import disk, fill
from support import free_port

from config.settings import Settings
from db.database import Database
from db.upgrade import upgrade
from jobs.dispatch import obstacles as module
from jobs.dispatch.obstacles import asking, obstacles
from jobs.errors import AwayError


@pytest.fixture
def full() -> Iterator[Path]:
    """A disk without space, but for the database that was there before."""
    with disk("8m") as folder:
        database = Database(f"sqlite:///{folder}/nightread.db")
        upgrade(database)
        database.dispose()
        fill(folder)
        yield folder


@pytest.fixture
def on_full(full: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{full}/nightread.db")
    yield database
    database.dispose()


def test_where_nothing_is_in_the_way_nothing_is_named(sqlite: Database, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert [*obstacles(settings, sqlite)] == []
    asking(settings, sqlite)()


@pytest.mark.processes
def test_a_full_disk_is_named_once_by_the_database_that_lies_on_it(full: Path, on_full: Database) -> None:
    (said,) = obstacles(Settings(home=full), on_full)
    assert said.startswith(f"no space for {full / 'nightread.db'} (")


@pytest.mark.processes
def test_a_database_that_takes_no_changes_is_named(ready_postgresql_url: str, tmp_path: Path) -> None:
    name = ready_postgresql_url.partition("?")[0].rpartition("/")[2]
    database = Database(ready_postgresql_url)
    with database.write() as connection:
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    database.dispose()
    (said,) = obstacles(Settings(home=tmp_path), database)
    assert "read-only transaction" in said
    database.dispose()


def test_a_broker_that_is_away_is_named_without_its_password(sqlite: Database, tmp_path: Path) -> None:
    url = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    (said,) = obstacles(Settings.model_validate({"home": tmp_path, "broker_url": url}), sqlite)
    assert "does not answer" in said
    assert "hunter2" not in said


def test_they_are_asked_for_every_few_seconds_and_raised_each_time(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def found(*_: object) -> Iterator[str]:
        calls.append(1)
        yield from ("a disk", "a server")

    monkeypatch.setattr(module, "obstacles", found)
    ask = asking(Settings(), sqlite)
    for _ in range(3):
        with pytest.raises(AwayError, match="a disk; a server"):
            ask()
    assert len(calls) == 1
