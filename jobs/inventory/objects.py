"""From a prefix of an object store to what its manifest has and has not; only heads of files are read."""

import hashlib
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import BinaryIO, Final, cast

from config.failures import ImageUnusableError
from jobs.inventory.film import UNUSABLE, Film, looked_into
from jobs.inventory.inventory import Choice, Inventory, chosen, without_copies
from jobs.inventory.skips import Skip, Skipped
from jobs.inventory.walk import skip_of_name
from jobs.sources.objects import ObjectSource, StoredObject

_FIRST_BYTES: Final = 1 << 14
"""Of an object at first: nearly all headers of radiographs are shorter."""

_BLOCK: Final = 1 << 18
"""Bytes that are fetched at once of what follows."""

_READ_BYTES: Final = 1 << 30
"""Of a film that has another one's UID, to compare them."""


def store_inventory(
    source: ObjectSource,
    choice: Choice,
    threads: int | None = None,
    found: Callable[[int], None] = lambda _: None,
    looked: Callable[[int, int], None] = lambda _, __: None,
) -> Inventory:
    """Look into the heads of all objects below a prefix, several at once.

    `found` is called with the number of objects listed so far, then `looked` with how many of them have been
    looked into, and with all. Raises SourceError or SourceAwayError.
    """
    source.require()
    objects: list[StoredObject] = []
    files: list[Film | Skipped] = []
    for listed in source.listed():
        if reason := skip_of_name(listed.name) or (Skip.EMPTY if listed.size == 0 else None):
            files.append(Skipped(listed.name, reason))
        else:
            objects.append(listed)
            found(len(objects))
    objects.sort()
    with ThreadPoolExecutor(threads or source.readers) as pool:
        look = partial(_look, source, any_view=choice.any_view)
        try:
            for done, file in enumerate(pool.map(look, objects), start=1):
                files.append(chosen(file, choice))
                looked(done, len(objects))
        finally:
            pool.shutdown(cancel_futures=True)
    films = [file for file in files if isinstance(file, Film)]
    skipped = sorted(file for file in files if isinstance(file, Skipped))
    return without_copies(Inventory(source.root, films, skipped), partial(_digest, source))


def _look(source: ObjectSource, listed: StoredObject, *, any_view: bool) -> Film | Skipped:
    try:
        return looked_into(listed.name, cast(BinaryIO, _RangedFile(source, listed)), any_view=any_view)
    except ImageUnusableError as error:
        return Skipped(listed.name, UNUSABLE.get(error.reason, Skip.UNREADABLE))


def _digest(source: ObjectSource, film: Film) -> bytes:
    """Return a film's SHA-256; its name, which no other has, where it cannot be read any more."""
    with suppress(ImageUnusableError):
        return hashlib.sha256(source.read(film.name, _READ_BYTES).data).digest()
    return film.name.encode()


class _RangedFile(io.RawIOBase):
    """An object as a file for a reader of its beginning: blocks are fetched as they are asked for."""

    def __init__(self, source: ObjectSource, listed: StoredObject) -> None:
        super().__init__()
        self._source = source
        self._listed = listed
        self._content = b""
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        end = self._listed.size if size < 0 else min(self._at + size, self._listed.size)
        while len(self._content) < end:
            begin = len(self._content)
            wanted = max(_BLOCK if begin else _FIRST_BYTES, end - begin)
            length = min(wanted, self._listed.size - begin)
            self._content += self._source.read_range(self._listed.name, begin, length)
        content = self._content[self._at : end]
        self._at += len(content)
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._listed.size}[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at
