"""The base of every table that people supply: from a file to its rows, or to one error with its place.

pandas does not read them, as it does not say in which line and column a bad cell is: a person who has to fix
a file of 112,120 rows needs both.
"""

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import ClassVar, Final, Generic, NoReturn, TypeVar

from jobs.tables.columns import ODD_NAME, ColumnError, Header, check_image, plain_name, refuse_width, shown
from jobs.tables.errors import TableError
from jobs.tables.files.file import Record, errors_named
from jobs.tables.files.known import open_file

_IMAGE_ENDING: Final = re.compile(
    r"\.(?:png|jpe?g|dcm|dicom|tiff?|bmp|gif|webp|nii(?:\.gz)?)\s*$", re.IGNORECASE
)
_CHUNK: Final = 4096  # records counted at a time

Row_co = TypeVar("Row_co", covariant=True)
L = TypeVar("L")


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
    """A table on disk: its header is read at once, its rows are streamed on each iteration.

    `what` is the kind of file and `per` what each row is about, for errors. `headed`: whether the first line
    names columns; else the table is a list of images.
    """

    def __init__(
        self,
        path: Path,
        what: str,
        per: str,
        *,
        encoding: str | None = None,
        sheet: str | None = None,
        root: str = "",
    ) -> None:
        """Read the header; raise TableError where it or the file cannot be read.

        `encoding` is a CSV's, UTF-8 or UTF-16 with its mark unless it is given. `sheet`: of a workbook.
        `root`: the folder of the images, which their names may begin with.
        """
        self.path = path
        self.file = open_file(path, encoding, sheet)
        self.odd_names = 0
        self._per = per
        self._root = root
        first = next(self.file.records(), None)
        if first is None:
            raise TableError(path, "the file is empty", f"{what} has a header and a row for each {per}.")
        self._first = first
        self.headed = not any(map(_IMAGE_ENDING.search, first[1]))
        if not self.headed and len(first[1]) > 1:
            raise self.error(
                f"the first {self.file.unit} names an image, so that the columns have no names",
                f"Put a {self.file.unit} above it that names them, such as Image,Patient ID,Mass.",
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
                name = fields[image] = self.plain(fields[image])
                if not name.isprintable() or not name.strip():
                    check_image(layout.image_name, name)
                if lines.setdefault(name, line) != line and not layout.repeats:
                    _refuse_repeat(layout.image_name, name, f"{self.file.unit} {lines[name]}")
                yield row(fields)
        except ColumnError as flaw:
            raise self._located(flaw, line) from None
        if not lines:
            raise TableError(self.path, "there is a header but no row", f"Add a row for each {self._per}.")

    def plain(self, name: str) -> str:
        """Return an image's name as a path below the folder of the images."""
        return plain_name(name, self._root) if ODD_NAME.search(name) else name

    def records(self) -> Iterator[Record]:
        """Stream the records as they are shaped by now; raise TableError where one does not fit."""
        found = self._rows()
        try:
            yield from self._reshape(found) if self._reshape else found
        except ColumnError as flaw:
            raise self.located(flaw) from None

    def _rows(self) -> Iterator[Record]:
        """Stream the records after the header; all of them where there is none."""
        found = self.file.records()
        if next(found, None) != self._first:
            raise TableError(self.path, "the header changed while the file was in use", "Start again.")
        return found if self.headed else chain([(self._first[0], list(self._first[1]))], found)

    def remarks(self) -> Iterator[str]:
        """Say what is unusual about the file; complete once its cells are counted."""
        yield from self.file.remarks()
        if not self.headed:
            yield (
                f"the first {self.file.unit} names an image: the file is read as a list of images without a "
                "header"
            )
        if self.odd_names:
            yield (
                "names with backslashes, ./, blanks or a slash at an end, or the folder of the images in "
                f"front: {self.odd_names:,}, taken as relative paths"
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
        return self.error(problem, flaw.advice, flaw.line or line, flaw.column)

    def error(self, problem: str, advice: str, line: int, column: str | None = None) -> TableError:
        """Return an error at a line or row of the file."""
        return TableError(self.path, problem, advice, line, column, self.file.unit)


def _refuse_repeat(column: str, image: str, place: str) -> NoReturn:
    problem = f"image {shown(image)} was already on {place}"
    raise ColumnError(problem, "Keep one row for each image.", column)


# --- from the file to its records --------------------------------------------------------------------------


def fingerprint_of(path: Path, options: object) -> str:
    """Return the SHA-256, in hex, of a file's bytes and of the options (JSON's types) it is read with.

    Raises TableError where the file cannot be read.
    """
    with errors_named(path), path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    # Text holds no zero byte, so the options cannot be taken for more of the file.
    digest.update(b"\0" + json.dumps(options).encode())
    return digest.hexdigest()
