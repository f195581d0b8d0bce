"""What a command starts with: its settings, its log, and its database, made or upgraded if embedded."""

import logging

from config.logs import configure_logging
from config.settings import Settings, load_settings
from db import receipts
from db.database import Database
from db.errors import DatabaseError
from db.upgrade import require_current, upgrade
from jobs.console import EXIT_USAGE, fail, warn
from jobs.errors import InputError
from jobs.kinds.known import kind_of


class NoRunsError(InputError):
    """The home has no database, as nothing was scored there."""


def open_database(settings: Settings) -> Database:
    """Open the database; the embedded one is made or upgraded first, another must be current."""
    database = Database(settings.database)
    if settings.embedded_database:
        try:
            require_current(database)
        except DatabaseError:
            upgrade(database)
    else:
        require_current(database)
    return database


def _says(record: logging.LogRecord) -> bool:
    """Say what is waited for in a line, as a person reads it; all else is for the log."""
    if record.name != receipts.log.name:
        return True
    warn(record.getMessage())
    return False


def quiet_settings() -> Settings:
    """Read the settings, for a command that a person waits for: its log has warnings only, or everything."""
    settings = load_settings()
    level = settings.log_level if settings.log_level == "DEBUG" else "WARNING"
    handler = configure_logging(level, settings.log_format)
    if settings.log_format == "text":
        handler.addFilter(_says)
    return settings


def require_suited(database: Database, command: str, *runs: int) -> None:
    """End the command, with the way on, where it does not suit the kind of a run's answers."""
    for run in runs:
        why = kind_of(database, run).unsuited.get(command)
        if why is not None:
            fail(f"run {run} {why.format(run=run)}", EXIT_USAGE)


def existing() -> tuple[Settings, Database]:
    """Do as `ready`, for a command that asks about runs: a home without a database is left as it is.

    Raises NoRunsError.
    """
    settings = quiet_settings()
    if settings.embedded_database and not settings.database_file.is_file():
        raise NoRunsError(
            f"there are no runs yet in {settings.home.absolute()}; nightread score makes one, and "
            "NIGHTREAD_HOME names another home"
        )
    return settings, open_database(settings)


def ready() -> tuple[Settings, Database]:
    """Read the settings and open the database, for a command that a person waits for."""
    settings = quiet_settings()
    return settings, open_database(settings)
