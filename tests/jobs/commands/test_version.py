"""What `nightread --version` tells an operator who reports a fault, and that it leaves no trace."""

from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from db.database import Database
from db.upgrade import HEAD, upgrade
from workers.commands.main import app


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("NIGHTREAD_HOME", str(home))
    return home


def shown() -> list[str]:
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def test_each_version_has_a_line_and_no_database_is_made(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREAD_ENGINE", "tensorflow")
    nightread, python, engine, database = shown()
    assert nightread == f"nightread {version('nightread')}"
    assert python.startswith("Python 3.")
    assert engine == f"engine tensorflow: tensorflow {version('tensorflow')}"
    assert database == f"database: none yet at {home / 'nightread.db'}"
    assert not home.exists()


def test_a_database_is_shown_with_its_revision(home: Path) -> None:
    database = Database(f"sqlite:///{home / 'nightread.db'}")
    upgrade(database)
    database.dispose()
    assert shown()[3] == f"database: sqlite:///{home / 'nightread.db'} at revision {HEAD}"


def test_a_database_without_tables_or_of_another_program_is_told_apart(home: Path) -> None:
    home.mkdir()
    (home / "nightread.db").touch()
    assert "has no tables yet" in shown()[3]
    (home / "nightread.db").write_text("a letter, and no database at all" * 40)
    assert "file is not a database" in shown()[3]


def test_a_server_that_is_away_is_named_on_one_line_without_its_password(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTREAD_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1/none")
    lines = shown()
    assert len(lines) == 4
    assert lines[3].startswith("database: the database does not answer: ")
    assert "hunter2" not in lines[3]
    assert not home.exists()


@pytest.mark.usefixtures("home")
def test_the_engine_that_suits_the_machine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert shown()[2] == f"engine tensorflow: tensorflow {version('tensorflow')}"


@pytest.mark.usefixtures("home")
def test_an_engine_that_is_not_installed_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        from importlib.metadata import PackageNotFoundError

        if name == "openvino":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setenv("NIGHTREAD_ENGINE", "openvino-bf16")
    monkeypatch.setattr("jobs.commands.version.version", missing)
    assert shown()[2] == "engine openvino-bf16: openvino is not installed"
