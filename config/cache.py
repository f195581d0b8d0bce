"""A folder of files that can be made again: bounded in bytes, the least recently used out first.

Many processes, on one machine or on many, may share it. A file appears whole or not at all; its time of
change is that of its last use. How many bytes there are stands in a file of its own, so that nobody looks at
all the others for it, but for the process that goes beyond the bound: it takes a tenth away.
"""

import fcntl
import logging
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from config.files import write_whole
from config.settings import Settings

log = logging.getLogger(__name__)

LEFT_FREE: Final = 1 << 30
"""Bytes of its disk that a cache leaves to others: a night's rows may be written there."""

KEPT: Final = 0.9
"""Share of the bound that is left when it was reached."""

_FILES: Final = "prepared"
"""Nothing else in the folder is looked at, or taken away."""

_TALLY: Final = "bytes"
_SHRINKING: Final = "shrinking"

_SHELF: Final = re.compile(r"[0-9a-f]{2}")
_DIGITS: Final = 20

_BLOCK: Final = 4096
_GRAIN: Final = 1 << 27
"""Nanoseconds, an eighth of a second, within which it does not matter which file was used first."""

_REST_SECONDS: Final = 600.0
"""How long nothing is added after the disk refused a file."""


class Cache:
    """Files by their keys, of hexadecimal digits. Safe to use by many threads and processes.

    No error of the disk leaves it: a file that cannot be read is not there, and one that cannot be written is
    left out, which is logged once.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        """Take the folder, which is made with the first file, and the bytes that all files may have."""
        self.folder = folder
        self.most_bytes = most_bytes
        self._files = folder / _FILES
        self._rests_until = 0.0
        self._said = False

    def get(self, key: str) -> bytes | None:
        """Return a file's content, None where there is none, and remember that it was used."""
        try:
            with self._path(key).open("rb") as file:
                content = file.read()
                with suppress(OSError):  # it belongs to somebody else, or the disk is read-only
                    os.utime(file.fileno())
        except OSError:
            return None
        return content

    def put(self, key: str, content: bytes) -> None:
        """Keep a file, in the place of an older one, and take others away if there is no room."""
        if time.monotonic() < self._rests_until:
            return
        try:
            self._write(self._path(key), content)
        except OSError as error:
            self._rest(error.strerror or type(error).__name__)

    def used(self) -> int | None:
        """Return how many bytes there are, None where nobody has counted them; raises OSError."""
        try:
            return _number((self._files / _TALLY).read_bytes())
        except FileNotFoundError:
            return None

    def _path(self, key: str) -> Path:
        return self._files / key[:2] / key[2:]

    def _write(self, path: Path, content: bytes) -> None:
        # What it holds are pictures of patients: other users are kept out.
        self._files.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.parent.mkdir(exist_ok=True)
        replaced = 0
        with suppress(FileNotFoundError):
            replaced = _on_disk(path.stat().st_size)
        change = _on_disk(len(content)) - replaced
        # Counted first: a process that is killed in between leaves too high a count, and no more bytes.
        used = self._count(change)
        spare = shutil.disk_usage(self._files).free - LEFT_FREE
        room = min(self.most_bytes, used - change + spare)
        if used > room:
            self._count(-change)
            if not self._shrink(int(KEPT * room) - change):
                return  # another process does; whatever comes meanwhile is left out
            if self._count(change) > room:
                self._count(-change)
                full = f"less than {LEFT_FREE >> 30} GiB of its disk is free"
                self._rest(full if spare < change else f"no picture fits into {self.most_bytes:,} bytes")
                return
        write_whole(path, content, durable=False)

    def _rest(self, why: str) -> None:
        self._rests_until = time.monotonic() + _REST_SECONDS
        level = logging.DEBUG if self._said else logging.WARNING
        log.log(level, "%s: nothing is added to this cache for now: %s", self.folder, why)
        self._said = True

    def _count(self, change: int) -> int:
        """Change the number of bytes that there are, and return it; counts all files if nobody has."""
        with _locked(self._files / _TALLY) as tally:
            known = _number(os.pread(tally, _DIGITS, 0))
            if known is None:
                known = sum(size for _, _, size in self._entries())
            used = max(0, known + change)
            os.pwrite(tally, f"{used:0{_DIGITS}}".encode(), 0)
        return used

    def _shrink(self, to: int) -> bool:
        """Take the least recently used files away, down to `to` bytes; False if somebody else does."""
        with suppress(BlockingIOError), _locked(self._files / _SHRINKING, wait=False):
            counted = self._count(0)
            sizes: Counter[int] = Counter()
            for _, age, size in self._entries():
                sizes[age] += size
            there = left = sizes.total()
            oldest = -1
            for age in sorted(sizes):
                if left <= to:
                    break
                oldest = age
                left -= sizes[age]
            for path, age, size in self._entries():
                # One that was used since it was looked at stays.
                if age <= oldest:
                    path.unlink(missing_ok=True)
                    there -= size
            self._count(there - counted)
            return True
        return False

    def _entries(self) -> Iterator[tuple[Path, int, int]]:
        """Yield each file, what a process left that was killed while it wrote one included: path, age, bytes.

        The age counts from the past: the least is the least recently used.
        """
        for shelf in os.scandir(self._files):
            if not _SHELF.fullmatch(shelf.name):
                continue
            for entry in os.scandir(shelf):
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    yield Path(entry.path), status.st_mtime_ns // _GRAIN, _on_disk(status.st_size)


def cache_of(settings: Settings) -> Cache | None:
    """Return the cache of prepared pictures, None where none is wanted."""
    return None if settings.cache_dir is None else Cache(settings.cache_dir.absolute(), settings.cache_bytes)


def _on_disk(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _number(text: bytes) -> int | None:
    return int(text) if text.isdigit() else None


@contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[int]:
    """Open a file for nobody else; BlockingIOError where somebody has it and it is not waited for."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield descriptor
    finally:
        os.close(descriptor)
