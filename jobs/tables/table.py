"""The base of every CSV that people supply: from a file on disk to its rows, or to one error with its place.

It uses the standard library's reader and not pandas: pandas does not say in which line and column a bad cell
is, and a person who has to fix a file of 112,120 rows needs both.
"""

import csv
import gzip
import hashlib
import json
import re
import stat
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, ClassVar, Final, Generic, NoReturn, TypeVar

from jobs.errors import InputError
from jobs.tables.columns import ODD_NAME, ColumnError, Header, check_image, plain_name, refuse_width, shown
from jobs.tables.dialect import HEAD, Dialect, dialect_of

_LINE_LIMIT: Final = 1 << 20  # characters: a file of zeros has no line ends and would be read whole
_BLANK_LIMIT: Final = 100_000  # lines in a row: a kilobyte of gzip holds a million of them
_IMAGE_ENDING: Final = re.compile(r"\.(?:png|jpe?g|dcm|dicom|tiff?|bmp|gif|webp)\s*$", re.IGNORECASE)
_CHUNK: Final = 4096  # records counted at a time
_SAVE_AS_CSV: Final = "Save it as CSV in UTF-8; compressed with gzip it must end in .csv.gz."

Record = tuple[int, list[str]]
"""The line on which a record starts, and its fields."""

Row_co = TypeVar("Row_co", covariant=True)
L = TypeVar("L")


class TableError(InputError):
    """The table cannot be read as it is; says in one line where, why and what to do.

    `line` counts from 1, the header's; of a record that spans several lines it is the first.
    """

    def __init__(
        self, path: Path, problem: str, advice: str, line: int | None = None, column: str | None = None
    ) -> None:
        super().__init__(path, problem, advice, line, column)
        self.path = path
        self.problem = problem
        self.advice = advice
        self.line = line
        self.column = column

    def __str__(self) -> str:
        """Return, say, `chest.csv, line 7, column 'Mass': label '2' is none of 0, 1 and blank. Write 1 …`."""
        line = "" if self.line is None else f", line {self.line}"
        column = "" if self.column is None else f", column {shown(self.column)}"
        return f"{self.path}{line}{column}: {self.problem}. {self.advice}"


# --- from the header to the rows ---------------------------------------------------------------------------


class Layout(ABC, Generic[Row_co]):
    """How the records of a table become rows: made from its header, raises ColumnError for a misfit.

    `image`: index of the column of the images' names. `widths`: the numbers of fields that a record may have.
    """

    repeats: ClassVar[bool] = False
    """Whether an image may have more than one row."""

    def __init__(self, header: Header, image: int) -> None:
        self.image = image
        self.image_name = header.names[image]
        self.widths = header.widths

    def check_width(self, fields: list[str]) -> None:
        """Raise ColumnError at a record whose number of fields is none of `widths`."""
        refuse_width(fields, f"in the header {self.widths[0]}")

    @abstractmethod
    def row(self, fields: list[str]) -> Row_co:
        """Read a record whose width and image are checked; raise ColumnError where a cell cannot be read."""


class Table:
    """A CSV on disk: its header is read at once, its rows are streamed on each iteration.

    `what` is the kind of file and `per` what each row is about, for errors. `headed`: whether the first line
    names columns; else the table is a list of images.
    """

    def __init__(self, path: Path, what: str, per: str, encoding: str | None = None, root: str = "") -> None:
        """Read the header; raise TableError where it or the file cannot be read.

        `encoding` is UTF-8, or UTF-16 with its mark, unless it is given. `root`: the folder of the images,
        which their names may begin with.
        """
        self.path = path
        self.dialect = read_dialect(path, encoding)
        self.odd_names = 0
        self._per = per
        self._root = root
        first = next(self._records(), None)
        if first is None:
            raise TableError(path, "the file is empty", f"{what} has a header and a row for each {per}.")
        self._first = first
        self.headed = not any(map(_IMAGE_ENDING.search, first[1]))
        if not self.headed and len(first[1]) > 1:
            raise TableError(
                path,
                "the first line names an image, so that the columns have no names",
                "Put a line above it that names them, such as Image,Patient ID,Mass.",
                first[0],
            )
        self.names = first[1] if self.headed else ["Image"]
        self._reshape: Callable[[Iterator[Record]], Iterator[Record]] | None = None
        self._origins: Mapping[str, str] = {}

    def reshape(
        self,
        names: list[str],
        reshape: Callable[[Iterator[Record]], Iterator[Record]],
        origins: Mapping[str, str] | None = None,
    ) -> None:
        """Take these as the columns from now on, into which `reshape` brings the file's records.

        `origins`: column -> the other file that it is from, for errors.
        """
        self.names = names
        self._reshape = reshape
        self._origins = origins or {}

    def lay_out(self, layout: Callable[[Header], L]) -> L:
        """Make a layout of the header; raise TableError where that raises ColumnError."""
        try:
            return layout(Header(self.names))
        except ColumnError as flaw:
            raise self.located(flaw) from None

    def rows(self, layout: Layout[Row_co]) -> Iterator[Row_co]:
        """Stream the rows in the file's order; raise TableError at the first bad one."""
        found = self.records()
        image, widths, row = layout.image, layout.widths, layout.row
        lines: dict[str, int] = {}
        line = 0
        try:
            for line, fields in found:
                if len(fields) not in widths:
                    layout.check_width(fields)
                name = fields[image]
                if ODD_NAME.search(name):
                    name = fields[image] = plain_name(name, self._root)
                if not name.isprintable() or not name.strip():
                    check_image(layout.image_name, name)
                if lines.setdefault(name, line) != line and not layout.repeats:
                    _refuse_repeat(layout.image_name, name, lines[name])
                yield row(fields)
        except ColumnError as flaw:
            raise self._located(flaw, line) from None
        if not lines:
            raise TableError(self.path, "there is a header but no row", f"Add a row for each {self._per}.")

    def _records(self) -> Iterator[Record]:
        return records(self.path, self.dialect)

    def records(self) -> Iterator[Record]:
        """Stream the records as they are shaped by now; raise TableError where one does not fit."""
        found = self._rows()
        try:
            yield from self._reshape(found) if self._reshape else found
        except ColumnError as flaw:
            raise self.located(flaw) from None

    def _rows(self) -> Iterator[Record]:
        """Stream the records after the header; all of them where there is none."""
        found = self._records()
        if next(found, None) != self._first:
            raise TableError(self.path, "the header changed while the file was in use", "Start again.")
        return found if self.headed else chain([(self._first[0], list(self._first[1]))], found)

    def remarks(self) -> Iterator[str]:
        """Say what is unusual about the file; complete once its cells are counted."""
        yield from self.dialect.remarks()
        if not self.headed:
            yield "the first line names an image: the file is read as a list of images without a header"
        if self.odd_names:
            yield (
                f"names with backslashes, ./, blanks at an end, or the folder of the images in front: "
                f"{self.odd_names:,}, taken as relative paths"
            )

    def count(self, indexes: Collection[int], image: int) -> dict[int, Counter[str]]:
        """Count the distinct cells of some columns over the whole file; a record that lacks one is left out.

        Names in the column `image` that `plain_name` changes are counted in `odd_names`. Raises TableError
        where the file is no CSV; what is wrong with a record is for `rows` to say.
        """
        counted: dict[int, Counter[str]] = {index: Counter() for index in indexes}
        width = max([image, *indexes]) + 1
        whole = (fields for _, fields in self.records() if len(fields) >= width)
        self.odd_names = 0
        while chunk := list(islice(whole, _CHUNK)):
            for index, cells in counted.items():
                cells.update([fields[index] for fields in chunk])
            odd = [fields[image] for fields in chunk if ODD_NAME.search(fields[image])]
            self.odd_names += sum(plain_name(name, self._root) != name for name in odd)
        return counted

    def located(self, flaw: ColumnError) -> TableError:
        """Return the error that a flaw is, in the header where it has no line."""
        return self._located(flaw, self._first[0])

    def _located(self, flaw: ColumnError, line: int) -> TableError:
        origin = self._origins.get(flaw.column or "")
        problem = flaw.problem if origin is None else f"{flaw.problem} (joined from {origin})"
        return TableError(self.path, problem, flaw.advice, flaw.line or line, flaw.column)


def _refuse_repeat(column: str, image: str, line: int) -> NoReturn:
    problem = f"image {shown(image)} was already on line {line}"
    raise ColumnError(problem, "Keep one row for each image.", column)


# --- from the file to its records --------------------------------------------------------------------------


def fingerprint_of(path: Path, options: object) -> str:
    """Return the SHA-256, in hex, of a file's bytes and of the options (JSON's types) it is read with.

    Raises TableError where the file cannot be read.
    """
    with _errors_named(path), path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    # Text holds no zero byte, so the options cannot be taken for more of the file.
    digest.update(b"\0" + json.dumps(options).encode())
    return digest.hexdigest()


def read_dialect(path: Path, encoding: str | None = None) -> Dialect:
    """Find a file's dialect; raise TableError where it cannot be read, or in no such encoding."""
    with _errors_named(path), _opener(path)(path, "rb") as stream:
        head = stream.read(HEAD)
    try:
        return dialect_of(head, encoding)
    except (LookupError, UnicodeError):
        raise TableError(
            path, f"it cannot be read in the encoding {shown(str(encoding))}", "Write latin-1 or cp1252, say."
        ) from None


def records(path: Path, dialect: Dialect | None = None) -> Iterator[Record]:
    """Stream a CSV file's records; blank ones are left out.

    A path that ends in .gz is read through gzip. Raises TableError where the file is no text in its encoding.
    """
    start, blank = 1, 0
    dialect = dialect or read_dialect(path)
    with _errors_named(path), _open(path, dialect.encoding) as stream:
        reader = csv.reader(_lines(path, stream), strict=True, delimiter=dialect.separator)
        try:
            for fields in reader:
                if fields and (fields[0].strip() or any(map(str.strip, fields))):
                    yield start, fields
                    blank = 0
                elif (blank := blank + 1) > _BLANK_LIMIT:
                    problem = f"more than {_BLANK_LIMIT:,} blank lines follow each other"
                    raise TableError(path, problem, "Remove them.", start)
                start = reader.line_num + 1
        except csv.Error as error:
            advice = 'Close each quoted field with " before the comma; write a quote within one as "".'
            problem = f"the quoting of the record that starts here is broken ({error})"
            raise TableError(path, problem, advice, start) from None


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    """Turn what the file system and gzip raise into TableError."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise TableError(path, "this is a directory", "Name the CSV file itself.")
        if not stat.S_ISREG(mode):
            # Rows are read more than once, which a pipe cannot do.
            raise TableError(path, "this is not a regular file", "Save it as a file first.")
        yield
    except FileNotFoundError:
        raise TableError(path, "there is no such file", "Check the path.") from None
    except PermissionError:
        raise TableError(path, "no permission to read the file", "Make it readable for you.") from None
    except EOFError:
        raise TableError(path, "the compressed data end early", "Copy or download it again.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise TableError(path, f"the compressed data are damaged ({error})", _SAVE_AS_CSV) from None
    except (OSError, ValueError) as error:
        raise TableError(path, f"the file cannot be read ({error})", "Check the path and the disk.") from None


def _opener(path: Path) -> Callable[..., IO[Any]]:
    return gzip.open if path.suffix.lower() == ".gz" else open


def _open(path: Path, encoding: str) -> IO[str]:
    # Bytes that are not UTF-8 come through as surrogates, so that _lines can name their line.
    return _opener(path)(path, "rt", encoding=encoding, errors="surrogateescape", newline="")


def _lines(path: Path, stream: IO[str]) -> Iterator[str]:
    for number, line in enumerate(iter(partial(stream.readline, _LINE_LIMIT), ""), 1):
        if "\0" in line or len(line) == _LINE_LIMIT or not (line.isascii() or _is_unicode(line)):
            raise TableError(path, "this is not a text CSV in UTF-8", _SAVE_AS_CSV, number)
        yield line


def _is_unicode(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True
