"""What `nightread --version` shows: the versions a bug report must name, read without changing anything."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from config.engines import EngineKind
from config.machine import engine_of
from config.settings import Settings, load_settings
from db import upgrade
from db.database import Database
from db.errors import DatabaseAwayError, DatabaseError
from jobs.console import say


def print_versions() -> None:
    """Print the versions of Nightread, Python, the configured engine and the configured database."""
    say(f"nightread {version('nightread')}")
    say(f"Python {platform.python_version()}")
    settings = load_settings()
    engine = engine_of(settings)
    say(f"engine {engine}: {_version(engine)}")
    say(f"database: {_revision(settings)}")


def _version(engine: EngineKind) -> str:
    package = engine.partition("-")[0]
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} is not installed"


def _revision(settings: Settings) -> str:
    """Return the migration that the database is at; connecting would make an SQLite file."""
    file = settings.database.partition("sqlite:///")[2].partition("?")[0]
    if file and not Path(file).is_file():
        return f"none yet at {file}"
    try:
        database = Database(settings.database)
        found = upgrade.version(database)
    except (DatabaseError, DatabaseAwayError) as error:
        return " ".join(str(error).split())
    return f"{database.where} at revision {found}" if found else f"{database.where} has no tables yet"
