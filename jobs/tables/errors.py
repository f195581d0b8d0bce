"""The one error that a table which people supply ends in."""

from pathlib import Path
from typing import Literal

from jobs.errors import InputError
from jobs.tables.columns import shown

Unit = Literal["line", "row"]
"""What a file counts: the lines of a text, or the rows of a sheet or a Parquet file."""


class TableError(InputError):
    """The table cannot be read as it is; says in one line where, why and what to do.

    `line` counts from 1, the header's; of a record that spans several lines it is the first. In a workbook it
    is the sheet's row, and in Parquet the record's, of which the first is 1.
    """

    def __init__(
        self,
        path: Path,
        problem: str,
        advice: str,
        line: int | None = None,
        column: str | None = None,
        unit: Unit = "line",
    ) -> None:
        super().__init__(path, problem, advice, line, column, unit)
        self.path = path
        self.problem = problem
        self.advice = advice
        self.line = line
        self.column = column
        self.unit = unit

    def __str__(self) -> str:
        """Return, say, `chest.csv, line 7, column 'Mass': label '2' is none of 0, 1 and blank. Write 1 …`."""
        line = f", {self.unit} {self.line}" if self.line else ""
        column = "" if self.column is None else f", column {shown(self.column)}"
        return f"{self.path}{line}{column}: {self.problem}. {self.advice}"
