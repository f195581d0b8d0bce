"""What keeps unfinished runs from going on, as far as it can be asked from here.

It is asked when somebody looks, and written nowhere: what is full may be the database itself.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from config.settings import Settings
from db.database import Database, DriverError
from db.errors import DatabaseAwayError
from db.health import require_writable
from jobs.dispatch.broker import Broker, BrokerAwayError, BrokerError
from jobs.errors import AwayError

_LEAST_FREE: Final = 1 << 20
"""Bytes. The rows and maps of 32 images need 0.2 MB of an SQLite file, and as much of its log."""

_ASK_SECONDS: Final = 5.0


def obstacles(settings: Settings, database: Database) -> Iterator[str]:
    """Find what is full or away of what workers need; each in words."""
    full = full_disk(database)
    if full is not None:
        yield full
    try:
        # A role that may only read cannot ask this.
        with suppress(DriverError):
            require_writable(database)
    except DatabaseAwayError as error:
        if full is None:
            yield str(error)
    if settings.broker_url is not None:
        try:
            Broker.connect(settings.broker_url.get_secret_value(), settings.tick_seconds).require_writable()
        except (BrokerAwayError, BrokerError) as error:
            yield str(error)


def full_disk(database: Database) -> str | None:
    """Say that an SQLite database's disk has no space; None where it has, or the database has a server."""
    if database.file is None:
        return None
    free = shutil.disk_usage(database.file.parent).free
    return f"no space for {database.file} ({free / 1000:,.0f} kB left)" if free < _LEAST_FREE else None


def asking(settings: Settings, database: Database) -> Callable[[], None]:
    """Make a function that asks every few seconds, and raises AwayError as long as there are obstacles."""
    asked, found = float("-inf"), ""

    def ask() -> None:
        nonlocal asked, found
        if time.monotonic() - asked > _ASK_SECONDS:
            found, asked = "; ".join(obstacles(settings, database)), time.monotonic()
        if found:
            raise AwayError(found)

    return ask
