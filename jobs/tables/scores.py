"""Reading another system's scores, a CSV with one column per finding, before they become a run."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.findings import FINDINGS
from jobs.tables.columns import ColumnError, Header, shown
from jobs.tables.spellings import Vocabulary
from jobs.tables.table import Layout, Table

_LOGITS: Final = "Write 1 / (1 + exp(-x)) in place of each x."


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Another system's scores, read and checked as a whole.

    `images`: their names in the file's order. `findings`: in the order of `config.findings.FINDINGS`, then
    those that `finding_columns` adds. `probabilities`: (N, F) float32, as the database keeps them, NaN where
    the cell is blank or NaN.
    """

    path: Path
    images: tuple[str, ...]
    findings: tuple[str, ...]
    probabilities: NDArray[np.float32]


def read_scores(
    path: Path,
    *,
    image_column: str | None = None,
    finding_columns: Mapping[str, str] | None = None,
    findings: Sequence[str] = FINDINGS,
    encoding: str | None = None,
    sheet: str | None = None,
) -> ScoreTable:
    """Read a CSV with one row per image and one column of probabilities per finding.

    `image_column` names the images' column where it is not recognised; `finding_columns`: column -> finding.
    `findings`: a model's, which columns are recognised by, beside those of ChestX-ray14. `encoding`: of a
    CSV. `sheet`: of a workbook.

    Raises TableError where the file is wrong anywhere.
    """
    table = Table(path, "A table of scores", "image", encoding=encoding, sheet=sheet)
    layout = table.lay_out(lambda header: _Columns(header, image_column, finding_columns, findings))
    images: list[str] = []
    values = array("f")
    for image, numbers in table.rows(layout):
        images.append(image)
        values.extend(numbers)
    probabilities = np.frombuffer(values, dtype=np.float32).reshape(len(images), len(layout.findings))
    return ScoreTable(path, tuple(images), layout.findings, probabilities)


class _Columns(Layout[tuple[str, list[float]]]):
    """Which of the header's columns has which finding's scores."""

    def __init__(
        self, header: Header, image: str | None, named: Mapping[str, str] | None, findings: Sequence[str]
    ) -> None:
        super().__init__(header, header.image(image))
        columns = header.findings(Vocabulary(findings), named)
        if not columns:
            advice = "Name those of the scores with --finding-column COLUMN=FINDING."
            header.fail("no column is named as a finding", advice)
        self.findings = tuple(columns)
        self._columns = [(index, header.names[index]) for index in columns.values()]

    def row(self, fields: list[str]) -> tuple[str, list[float]]:
        """Read one record; raise ColumnError where a cell is not a probability."""
        return fields[self.image], [_probability(name, fields[index]) for index, name in self._columns]


def _probability(column: str, cell: str) -> float:
    if not cell or cell.isspace():
        return float("nan")
    try:
        # Python would also take 0_1 for 1, and other scripts' digits.
        value = float(cell.replace(",", ".") if cell.isascii() and "_" not in cell else "")
    except ValueError:
        advice = "Write a number from 0 to 1 with a decimal point, or nothing where there is no score."
        raise ColumnError(f"score {shown(cell)} is not a number", advice, column) from None
    if 0.0 <= value <= 1.0 or isnan(value):
        return value
    looks = "logits" if value < 0.0 else "logits, or like per cent"
    other = "" if value < 0.0 else " Divide per cent by 100."
    problem = f"score {shown(cell)} is no probability from 0 to 1; these look like {looks}"
    raise ColumnError(problem, _LOGITS + other, column)
