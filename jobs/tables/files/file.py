"""What every kind of file gives: records of texts, the same ones as if the table had been saved as CSV."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Protocol

from jobs.tables.errors import TableError, Unit

Record = tuple[int, list[str]]
"""The line or row on which a record starts, and its fields."""


class TableFile(Protocol):
    """A file on disk that holds a table."""

    unit: ClassVar[Unit]
    """What the number of a record counts."""

    has_sheets: ClassVar[bool]
    """Whether a sheet may be chosen."""

    def records(self) -> Iterator[Record]:
        """Stream the records, the header's first; blank ones are left out.

        Raises TableError where the file is damaged or is not of its kind.
        """

    def remarks(self) -> Iterator[str]:
        """Say what is unusual about the file."""


@contextmanager
def errors_named(path: Path) -> Iterator[None]:
    """Turn what the file system raises into TableError."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise TableError(path, "this is a directory", "Name the table itself.")
        if not stat.S_ISREG(mode):
            # Rows are read more than once, which a pipe cannot do.
            raise TableError(path, "this is not a regular file", "Save it as a file first.")
        yield
    except FileNotFoundError:
        raise TableError(path, "there is no such file", "Check the path.") from None
    except PermissionError:
        raise TableError(path, "no permission to read the file", "Make it readable for you.") from None
    except (OSError, ValueError) as error:
        raise TableError(path, f"the file cannot be read ({error})", "Check the path and the disk.") from None
