"""Bring a database's tables and views up to this version, or say that they are not."""

from pathlib import Path
from typing import Final

from sqlalchemy import inspect, text

from db.database import Database
from db.errors import SchemaOutdatedError
from db.views import create_views, drop_views

HEAD: Final = "0027"
"""The newest migration; a test compares it with the folder."""

_UPGRADE_LOCK: Final = 0x4E52  # an arbitrary number that nothing else in this database locks


def upgrade(database: Database) -> None:
    """Run the missing migrations and make the views again, in one transaction."""
    # Alembic takes a tenth of a second to import, which the commands that do not upgrade need not pay.
    from alembic import command, config, util  # noqa: PLC0415

    alembic = config.Config()
    alembic.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with database.write() as connection:
        if database.dialect == "postgresql":
            # Two machines that start at once: the second waits here and finds nothing to do.
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})"))
        alembic.attributes["connection"] = connection
        drop_views(connection)
        try:
            command.upgrade(alembic, "head")
        except util.CommandError as error:
            raise SchemaOutdatedError(_made_by_newer(database, str(error))) from error
        create_views(connection)


def version(database: Database) -> str | None:
    """Return the migration that the database is at; None where there are no tables yet."""
    with database.read() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def require_current(database: Database) -> None:
    """Raise SchemaOutdatedError unless the tables are this version's."""
    found = version(database)
    if found is not None and found > HEAD:
        raise SchemaOutdatedError(_made_by_newer(database, f"migration {found}"))
    if found != HEAD:
        state = (
            "has no tables yet" if found is None else f"is at migration {found}, this version needs {HEAD}"
        )
        raise SchemaOutdatedError(f"{database.where} {state}; run: nightread db upgrade")


def _made_by_newer(database: Database, how_seen: str) -> str:
    return f"{database.where} was made by a newer version of Nightread; install that one ({how_seen})"
