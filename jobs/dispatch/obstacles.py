"""What keeps unfinished runs from going on, as far as it can be asked from here.

It is asked when somebody looks, and written nowhere: what is full may be the database itself.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
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
    full = [*full_disks(settings, database)]
    yield from full
    try:
        # A role that may only read cannot ask this.
        with suppress(DriverError):
            require_writable(database)
    except DatabaseAwayError as error:
        if not full:
            yield str(error)
    if settings.broker_url is not None:
        try:
            Broker.connect(settings.broker_url.get_secret_value(), settings.tick_seconds).require_writable()
        except (BrokerAwayError, BrokerError) as error:
            yield str(error)


def full_disks(settings: Settings, database: Database) -> Iterator[str]:
    """Find the disks without space: that of an SQLite database, and that of the overlays if it is here."""
    file = database.file
    if file is not None and (left := _left(file.parent)) is not None:
        yield f"no space for {file} ({left} left)"
        if settings.overlays.is_dir() and settings.overlays.stat().st_dev == file.parent.stat().st_dev:
            return
    if settings.overlays.is_dir() and (left := _left(settings.overlays)) is not None:
        yield (
            f"no space for overlays in {settings.overlays} ({left} left); images are scored without, and "
            "nightread heatmap draws them later"
        )


def _left(folder: Path) -> str | None:
    """Return what is free on a full disk; None where there is space."""
    free = shutil.disk_usage(folder).free
    return f"{free / 1000:,.0f} kB" if free < _LEAST_FREE else None


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
