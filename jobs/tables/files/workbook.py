"""Excel workbooks (.xlsx): one of their sheets is a table."""

import re
import zlib
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import ClassVar, Final
from warnings import catch_warnings
from zipfile import BadZipFile, ZipFile

from openpyxl import load_workbook

from jobs.tables.columns import shown
from jobs.tables.errors import TableError, Unit
from jobs.tables.files.file import Record
from jobs.tables.files.texts import text_of

_MOST_BYTES: Final = 1 << 30
"""A workbook's size, unpacked; one of 112,120 rows has 60 MB."""

_UNREADABLE: Final = (
    *(BadZipFile, zlib.error, EOFError, OSError, SyntaxError, RuntimeError),  # damaged, bad XML, a password
    *(AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError),  # parts that do not fit
)
_SHEETS: Final = "xl/worksheets/"
_UNCOMPUTED: Final = re.compile(rb'<c(?![^>]*t="str")[^>]*><f[^>]*>[^<]*</f>(?:<v></v>|<v ?/>)?</c>')
_MERGED: Final = re.compile(rb"<mergeCell ")
_SAVE: Final = "Open it in a spreadsheet program, and save it as .xlsx or as CSV in UTF-8."

Value = object


class Workbook:
    """A workbook on disk, read once and kept: unpacking it takes far longer than reading a CSV."""

    unit: ClassVar[Unit] = "row"
    has_sheets: ClassVar[bool] = True

    def __init__(self, path: Path, _: str | None, sheet: str | None) -> None:
        """Read the sheet; None where there is only one with anything in it.

        Raises TableError where the file cannot be read, has no such sheet, or several and none is named.
        """
        self._path = path
        self._merged = False
        try:
            self._check()
            with catch_warnings(action="ignore"):  # of styles and the like, which no cell depends on
                self._sheet, self._rows = _read(path, sheet)
        except _UNREADABLE as error:
            problem = f"this is no workbook that can be read: {shown(str(error))}"
            raise TableError(path, problem, _SAVE) from None

    def records(self) -> Iterator[Record]:
        """Give the sheet's rows; each is as wide as the first, unless it has more cells."""
        width = len(self._rows[0][1]) if self._rows else 0
        for number, cells in self._rows:
            yield number, cells + [""] * (width - len(cells))

    def remarks(self) -> Iterator[str]:
        """Say which sheet was read."""
        yield f"the file is read as a workbook, sheet {shown(self._sheet)}"
        if self._merged:
            yield "the workbook has merged cells: only the first of them has the text, the others are blank"

    def _check(self) -> None:
        """Raise TableError for what is no workbook, is too large, or has formulas without values."""
        with ZipFile(self._path) as archive:
            parts = archive.infolist()
            if not any(part.filename.startswith("xl/") for part in parts):
                raise TableError(self._path, "this is a ZIP archive, no workbook", "Unpack it first.")
            size = sum(part.file_size for part in parts)
            if size > _MOST_BYTES:
                raise TableError(self._path, f"the workbook has {size:,} bytes when unpacked", _SAVE)
            for part in parts:
                if part.filename.startswith(_SHEETS):
                    content = archive.read(part)
                    self._merged |= _MERGED.search(content) is not None
                    if _UNCOMPUTED.search(content):
                        raise TableError(self._path, "the workbook has formulas without their values", _SAVE)


def _read(path: Path, sheet: str | None) -> tuple[str, list[Record]]:
    """Return the name of the sheet that is the table, and its rows that are not blank."""
    with path.open("rb") as stream, closing(load_workbook(stream, read_only=True, data_only=True)) as book:
        names = [each.title for each in book.worksheets]
        if sheet is not None and sheet not in names:
            raise TableError(path, f"there is no sheet {shown(sheet)}", f"There are {_listed(names)}.")
        filled = []
        for each in book.worksheets:
            each.reset_dimensions()  # what a file says of its size may be wrong
            rows = _rows(each.iter_rows(values_only=True))
            first = next(rows, None)
            if first is not None and sheet in {None, each.title}:
                filled.append((each.title, chain([first], rows)))
        if len(filled) > 1:
            listed = _listed([name for name, _ in filled])
            raise TableError(path, f"the workbook has {len(filled)} sheets: {listed}", "Name one by --sheet.")
        return (filled[0][0], [*filled[0][1]]) if filled else (sheet or names[0], [])


def _rows(found: Iterator[tuple[Value, ...]]) -> Iterator[Record]:
    same: dict[str, str] = {}  # one string for equal cells: there are a few words in millions of cells
    for number, values in enumerate(found, start=1):
        cells = [same.setdefault(text, text) for text in map(text_of, values)]
        while cells and not cells[-1].strip():
            cells.pop()
        if cells:
            yield number, cells


def _listed(names: list[str]) -> str:
    return ", ".join(map(shown, names))
