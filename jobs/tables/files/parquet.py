"""Parquet: columns with types, as pandas, Spark and others write them."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import ClassVar

from pyarrow import DataType, types
from pyarrow.parquet import ParquetFile

from jobs.tables.columns import shown
from jobs.tables.errors import TableError, Unit
from jobs.tables.files.file import Record
from jobs.tables.files.texts import text_of


class ParquetTable:
    """A Parquet file on disk; columns of bytes or of structures are no texts, and are left out."""

    unit: ClassVar[Unit] = "row"
    has_sheets: ClassVar[bool] = False

    def __init__(self, path: Path, *_: object) -> None:
        """Read the schema; raise TableError where it cannot be read."""
        self._path = path
        schema = self._open().schema_arrow
        self._names = [column.name for column in schema if _is_text(column.type)]
        self._others = [column.name for column in schema if not _is_text(column.type)]

    def records(self) -> Iterator[Record]:
        """Stream the header, as row 0, and the records."""
        yield 0, [*self._names]
        rows = chain.from_iterable(zip(*batch, strict=True) for batch in self._batches())
        for number, fields in enumerate(rows, start=1):
            if any(map(str.strip, fields)):
                yield number, [*fields]

    def remarks(self) -> Iterator[str]:
        """Say what kind of file it is, and which columns are left out."""
        yield "the file is read as Parquet"
        if self._others:
            yield f"columns without text, not used: {', '.join(map(shown, self._others))}"

    def _open(self) -> ParquetFile:
        try:
            return ParquetFile(self._path)
        except (OSError, ValueError) as error:
            raise self._damaged(error) from None

    def _batches(self) -> Iterator[list[list[str]]]:
        """Stream the texts of the columns, some thousands of each at a time."""
        try:
            for batch in self._open().iter_batches(columns=self._names if self._others else None):
                chosen = map(batch.column, self._names) if self._others else batch.columns
                yield [[*map(text_of, column.to_pylist())] for column in chosen]
        except (KeyError, OSError, ValueError) as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> TableError:
        problem = f"this is no Parquet file that can be read: {shown(str(error))}"
        return TableError(self._path, problem, "Write or copy it again.")


def _is_text(kind: DataType) -> bool:
    """Return whether a column of this type holds numbers, words, days or lists of them."""
    if types.is_list(kind) or types.is_large_list(kind):
        return _is_text(kind.value_type)
    in_bytes = types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    return not (types.is_nested(kind) or in_bytes)
