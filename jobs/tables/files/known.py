"""The kinds of file that there are, and which of them a file is: by its content, not by its name."""

from importlib import import_module
from pathlib import Path
from typing import Final, NamedTuple

from jobs.tables.errors import TableError
from jobs.tables.files.file import TableFile
from jobs.tables.files.text import TextFile, head_of


class Kind(NamedTuple):
    """A kind of file: the bytes that it begins with, its class, and whether gzip may be around it.

    The class is named by its module, which is loaded when there is such a file: the libraries for workbooks
    and Parquet take a third of a second.
    """

    begins: bytes
    module: str
    name: str
    packed: bool = False


KINDS: Final = (
    Kind(b"PK\x03\x04", "jobs.tables.files.workbook", "Workbook"),
    Kind(b"PAR1", "jobs.tables.files.parquet", "ParquetTable"),
    Kind(b"{", "jobs.tables.files.json_lines", "JsonLines", packed=True),
)
"""The kinds beside CSV."""

_OLD_EXCEL: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def open_file(path: Path, encoding: str | None = None, sheet: str | None = None) -> TableFile:
    """Open a file by its kind; `encoding` is a CSV's, and `sheet` the one of a workbook that is the table.

    Raises TableError where it cannot be read.
    """
    head = head_of(path).removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(_OLD_EXCEL):
        problem = "this is an Excel file of the old kind (.xls), or one with a password"
        raise TableError(path, problem, "Save it as .xlsx without a password, or as CSV in UTF-8.")
    kind = next((kind for kind in KINDS if head.startswith(kind.begins)), None)
    if kind is None:
        return TextFile(path, encoding)
    if path.suffix.lower() == ".gz" and not kind.packed:
        raise TableError(path, "only text is read through gzip", "Unpack it first.")
    opened: TableFile = getattr(import_module(kind.module), kind.name)(path, encoding, sheet)
    return opened
