"""Reading a batch's images before they are needed, with no more bytes waiting than memory is meant for."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition
from typing import Final, Generic, Protocol, TypeVar

AHEAD_BYTES: Final = 256 * 2**20
"""Bytes that may be read and not yet decoded, in one process."""


class Sized(Protocol):
    """What a read gives."""

    @property
    def data(self) -> bytes:
        """The image's bytes, as far as they were read."""


ReadT = TypeVar("ReadT", bound=Sized)
ReadT_co = TypeVar("ReadT_co", bound=Sized, covariant=True)


class Readable(Protocol[ReadT_co]):
    """Where images are read: a source, or what stands before one."""

    @property
    def readers(self) -> int:
        """How many reads at once pay."""

    def read(self, name: str, max_bytes: int) -> ReadT_co:
        """Read an image of at most `max_bytes`."""


class ReadAhead(Generic[ReadT]):
    """The contents of a batch's images in their order, read by threads ahead of who takes them.

    As many reads are under way as pay for the source. Whoever has decoded a content gives its bytes back with
    `free`. A read that is under way counts as the largest content so far: only a batch's first reads, whose
    sizes nobody knows, can go beyond AHEAD_BYTES.
    """

    def __init__(
        self, pool: ThreadPoolExecutor, source: Readable[ReadT], names: Iterable[str], max_bytes: int
    ) -> None:
        """`max_bytes`: of one image; a larger one is unusable."""
        self._pool = pool
        self._source = source
        self._names = iter(names)
        self._max_bytes = max_bytes
        self._under_way = 0
        self._held = 0
        self._largest = 0
        self._changed = Condition()

    def __iter__(self) -> Iterator[Future[ReadT]]:
        """Yield each image's read, which may be under way still."""
        waiting: deque[Future[ReadT]] = deque()
        try:
            while True:
                while len(waiting) < self._source.readers and self._has_room(wait=not waiting):
                    name = next(self._names, None)
                    if name is None:
                        break
                    with self._changed:
                        self._under_way += 1
                    waiting.append(self._pool.submit(self._read, name))
                if not waiting:
                    return
                yield waiting.popleft()
        finally:
            for read in waiting:
                read.cancel()

    def free(self, content: ReadT) -> None:
        """Give back the bytes of a content that is decoded."""
        with self._changed:
            self._held -= len(content.data)
            self._changed.notify()

    def _has_room(self, *, wait: bool) -> bool:
        with self._changed:
            if wait:
                self._changed.wait_for(self._fits)
            return self._fits()

    def _fits(self) -> bool:
        expected = self._held + (self._under_way + 1) * self._largest
        return expected <= AHEAD_BYTES or self._held == self._under_way == 0

    def _read(self, name: str) -> ReadT:
        size = 0
        try:
            content = self._source.read(name, self._max_bytes)
            size = len(content.data)
            return content
        finally:
            with self._changed:
                self._under_way -= 1
                self._held += size
                self._largest = max(self._largest, size)
                self._changed.notify()
