"""Deleting runs with all that is theirs: overlays, then rows; in a command, or bit by bit at each tick."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from config.files import run_folder
from config.settings import Settings
from db import deletion
from db.database import Database

log = logging.getLogger(__name__)

_FILES_AT_ONCE: Final = 1_000

_TICK_SECONDS: Final = 2.0
"""How long a tick deletes, of the ten seconds to the next one."""


class Gone(NamedTuple):
    """What a step has deleted: the rows of so many images, files of overlays, and these files' bytes."""

    images: int = 0
    overlays: int = 0
    overlay_bytes: int = 0


def carry_out(database: Database, settings: Settings, run_id: int) -> Iterator[Gone]:
    """Delete the overlays and rows of a run that `db.deletion.mark` has marked; yields after each step.

    Raises OSError where an overlay cannot be deleted; its run then stays marked.
    """
    folder = settings.overlays / run_folder(run_id)
    if folder.is_dir():
        yield from _delete_files(folder)
    for images in deletion.delete_rows(database, run_id):
        yield Gone(images)


def _delete_files(folder: Path) -> Iterator[Gone]:
    """Delete a folder with all that is in it; others may be doing the same."""
    files = size = 0
    with suppress(FileNotFoundError):
        with os.scandir(folder) as found:
            entries = list(found)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _delete_files(Path(entry.path))
                continue
            with suppress(FileNotFoundError):
                size += entry.stat(follow_symlinks=False).st_size
                Path(entry.path).unlink()
                files += 1
            if files == _FILES_AT_ONCE:
                yield Gone(overlays=files, overlay_bytes=size)
                files = size = 0
        folder.rmdir()
    yield Gone(overlays=files, overlay_bytes=size)


def sweep(database: Database, settings: Settings) -> None:
    """Go on with the deletion of runs that are marked, for two seconds; the next call continues."""
    end = time.monotonic() + _TICK_SECONDS
    for run_id in deletion.marked(database):
        try:
            for _ in carry_out(database, settings, run_id):
                if time.monotonic() > end:
                    return
        except OSError as error:
            # The path may hold a patient's number.
            reason = error.strerror or type(error).__name__
            log.warning("run %d cannot be deleted: an overlay of it cannot: %s", run_id, reason)
        else:
            log.info("run %d is deleted", run_id)
