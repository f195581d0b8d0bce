"""A file of which a reader gets no more than a real DICOM header needs, whatever lengths the file states."""

from typing import BinaryIO, Final

MOST_BYTES: Final = 1 << 24
"""Bytes of a header altogether. A radiograph's has some kilobytes, with icons and curves a megabyte."""

_MOST_AT_ONCE: Final = 1 << 20
_MOST_READS: Final = 100_000
"""Each element takes a reader two or three, and a few microseconds."""


class HeaderTooLargeError(Exception):
    """A header claims or takes more than any real one has."""


class BoundedFile:
    """The beginning of a file, for a reader that trusts what it reads.

    It bounds memory by the bytes, and time by the number of reads.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._bytes = 0
        self._reads = 0

    def read(self, size: int = -1) -> bytes:
        """Read like a file; raises HeaderTooLargeError, also for a read of everything."""
        self._reads += 1
        if not 0 <= size <= _MOST_AT_ONCE or self._reads > _MOST_READS:
            raise HeaderTooLargeError
        content = self._file.read(size)
        self._bytes += len(content)
        if self._bytes > MOST_BYTES:
            raise HeaderTooLargeError
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek like a file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place like a file."""
        return self._file.tell()
