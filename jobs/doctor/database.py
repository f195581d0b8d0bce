"""The database: it answers, its tables are this version's, it takes changes, and its clock is ours."""

import time
from collections.abc import Iterator
from typing import Final

from db.database import Database
from db.errors import DatabaseAwayError, DatabaseError
from db.health import clock_of, require_writable
from db.upgrade import HEAD, version
from jobs.doctor.clock import compare
from jobs.doctor.home import sqlite_file
from jobs.doctor.verdict import Night, State, Verdict

_NAME: Final = "database"


def ask(night: Night) -> Iterator[Verdict]:
    """Ask for the tables' migration, try a change that changes nothing, and read a server's clock."""
    file = sqlite_file(night.settings)
    if file is not None and not file.is_file():
        # Opening it would make it.
        yield Verdict(_NAME, State.OK, f"none yet; the first run makes {file}")
        return
    database = None
    try:
        database = Database(night.settings.database)
        yield _tables(database, embedded=night.settings.embedded_database)
        if file is None:
            before = time.time()
            theirs = clock_of(database)
            yield compare("database's clock", theirs, before, time.time(), night.settings)
    except DatabaseAwayError as error:
        yield Verdict(
            _NAME,
            State.FAULT,
            str(error),
            "start or free it, or correct NIGHTREAD_DATABASE_URL; a night waits until it answers",
        )
    except DatabaseError as error:
        yield Verdict(_NAME, State.FAULT, str(error), "correct NIGHTREAD_DATABASE_URL, or restore a backup")
    finally:
        if database is not None:
            database.dispose()


def _tables(database: Database, *, embedded: bool) -> Verdict:
    found = version(database)
    if found is not None and found > HEAD:
        seen = f"{database.where} is at migration {found}, made by a newer version; this one needs {HEAD}"
        return Verdict(_NAME, State.FAULT, seen, "install the newer version of Nightread")
    if found != HEAD:
        seen = f"{database.where} has no tables yet"
        if found is not None:
            seen = f"{database.where} is at migration {found}, this version needs {HEAD}"
        # Scoring into the embedded file upgrades it by itself.
        return Verdict(_NAME, State.WARNING if embedded else State.FAULT, seen, "nightread db upgrade")
    require_writable(database)
    return Verdict(_NAME, State.OK, f"{database.where} answers, at revision {HEAD}")
