"""CSV: lines of text, whatever separates the fields, perhaps compressed by gzip."""

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, ClassVar, Final

from jobs.tables.columns import shown
from jobs.tables.dialect import HEAD, dialect_of
from jobs.tables.errors import TableError, Unit
from jobs.tables.files.file import Record, errors_named

_LINE_LIMIT: Final = 1 << 20  # characters: a file of zeros has no line ends and would be read whole
_BLANK_LIMIT: Final = 100_000  # lines in a row: a kilobyte of gzip holds a million of them
_SAVE_AS_CSV: Final = "Save it as CSV in UTF-8; compressed with gzip it must end in .csv.gz."
_WESTERN: Final = "cp1252"
"""The encoding that is most likely where a file is not UTF-8; also Latin-1's letters."""

_AROUND: Final = 12  # letters shown on either side of one that is not UTF-8


class TextFile:
    """A CSV on disk; a path that ends in .gz is read through gzip."""

    unit: ClassVar[Unit] = "line"
    has_sheets: ClassVar[bool] = False

    def __init__(self, path: Path, encoding: str | None = None, *_: object) -> None:
        """Find the file's dialect; raise TableError where it cannot be read, or in no such encoding.

        `encoding` is what a person says it is. UTF-16 is known by its mark; else it is UTF-8.
        """
        self._path = path
        head = head_of(path)
        try:
            self.dialect = dialect_of(head, encoding)
        except (LookupError, UnicodeError):
            problem = f"it cannot be read in the encoding {shown(str(encoding))}"
            raise TableError(path, problem, "Write latin-1 or cp1252, say.") from None

    def remarks(self) -> Iterator[str]:
        """Say what differs from a CSV with commas in UTF-8."""
        return self.dialect.remarks()

    def records(self) -> Iterator[Record]:
        """Stream the records; raise TableError where the file is no text in its encoding."""
        start, blank = 1, 0
        with lines_of(self._path, self.dialect.encoding) as lines:
            reader = csv.reader(lines, strict=True, delimiter=self.dialect.separator)
            try:
                for fields in reader:
                    if fields and (fields[0].strip() or any(map(str.strip, fields))):
                        yield start, fields
                        blank = 0
                    elif (blank := blank + 1) > _BLANK_LIMIT:
                        problem = f"more than {_BLANK_LIMIT:,} blank lines follow each other"
                        raise TableError(self._path, problem, "Remove them.", start)
                    start = reader.line_num + 1
            except csv.Error as error:
                advice = 'Close each quoted field with " before the comma; write a quote within one as "".'
                problem = f"the quoting of the record that starts here is broken ({error})"
                raise TableError(self._path, problem, advice, start) from None


def head_of(path: Path) -> bytes:
    """Return a file's first bytes, unpacked where it ends in .gz; raise TableError where there are none."""
    with _named(path), _opener(path)(path, "rb") as stream:
        head: bytes = stream.read(HEAD)
        return head


@contextmanager
def lines_of(path: Path, encoding: str) -> Iterator[Iterator[str]]:
    """Open a text and give its lines; raise TableError where it is none in its encoding."""
    # Bytes that are not UTF-8 come through as surrogates, so that _lines can name their line.
    with (
        _named(path),
        _opener(path)(path, "rt", encoding=encoding, errors="surrogateescape", newline="") as stream,
    ):
        yield _lines(path, stream)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        with errors_named(path):
            try:
                yield
            except gzip.BadGzipFile as error:  # an OSError, which would be taken for the disk's
                raise TableError(path, f"the compressed data are damaged ({error})", _SAVE_AS_CSV) from None
    except EOFError:
        raise TableError(path, "the compressed data end early", "Copy or download it again.") from None
    except zlib.error as error:
        raise TableError(path, f"the compressed data are damaged ({error})", _SAVE_AS_CSV) from None


def _opener(path: Path) -> Callable[..., IO[Any]]:
    return gzip.open if path.suffix.lower() == ".gz" else open


def _lines(path: Path, stream: IO[str]) -> Iterator[str]:
    for number, line in enumerate(iter(partial(stream.readline, _LINE_LIMIT), ""), 1):
        if "\0" in line or len(line) == _LINE_LIMIT:
            raise TableError(path, "this is not a text CSV in UTF-8", _SAVE_AS_CSV, number)
        if not line.isascii():
            _require_unicode(path, line, number)
        yield line


def _require_unicode(path: Path, line: str, number: int) -> None:
    """Raise TableError for a line with bytes that are not UTF-8; says how they read in Western Europe."""
    try:
        line.encode()
    except UnicodeEncodeError as error:
        part = line[max(error.start - _AROUND, 0) : error.end + _AROUND].strip()
        problem = "this is not a text CSV in UTF-8"
        try:
            read = part.encode("utf-8", "surrogateescape").decode(_WESTERN)
        except UnicodeError:
            raise TableError(path, problem, _SAVE_AS_CSV, number) from None
        advice = f"{_SAVE_AS_CSV} Or give its encoding: --encoding {_WESTERN} reads {shown(read)}."
        raise TableError(path, problem, advice, number) from None
