"""Reading a CSV of the boxes that radiologists drew around findings, to compare a run's maps with."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import ClassVar, Final

from config.findings import FINDINGS
from db.boxes import Box, find_or_write_boxes
from db.database import Connection
from jobs.tables.columns import ABSENT, IMAGE_NAMES, ColumnError, Header, refuse_width, shown
from jobs.tables.layouts.known import layout_of
from jobs.tables.layouts.shape import Shape
from jobs.tables.spellings import Vocabulary, key_of
from jobs.tables.table import Layout, Table, fingerprint_of

_NAMES: Final[Mapping[str, Sequence[str]]] = {
    "image": IMAGE_NAMES,
    "finding": ("Finding Label", "Finding", "Label", "class_name"),
    # NIH's header is not quoted: its "Bbox [x,y,w,h]" splits into four names.
    "x": ("x", "x_min", "Bbox [x"),
    "y": ("y", "y_min"),
    # The short names first: where both are there, the long ones are the image's size.
    "width": ("w", "width"),
    "height": ("h", "height", "h]"),
    "x_max": ("x_max",),
    "y_max": ("y_max",),
}
"""The names by which a column is recognised, and by which an option may refer to it."""

_QUOTED: Final = "Bbox [x,y,w,h]"
"""NIH's header where a program has rewritten the file: one name over the first of four columns."""

_ROLE_OF: Final = {key_of(name): role for role, names in _NAMES.items() for name in (role, *names)}

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class BoxList:
    """The boxes of a file, in its order; `fingerprint` is the SHA-256 of the file and of how it was read."""

    path: Path
    fingerprint: str
    boxes: tuple[Box, ...]


def read_boxes(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    findings: Mapping[str, str] | None = None,
    model: Sequence[str] = FINDINGS,
    root: str = "",
) -> BoxList:
    """Read a CSV with one box per row: NIH's BBox_List_2017.csv, or any with columns for image, finding, box.

    `columns` names the file's column for image, finding, x, y, width, height, x_max or y_max where it is not
    recognised by its name; `findings` is the file's word for a finding -> the finding. `model`: a model's
    findings, under whose names the file's are known. NIH's `Infiltrate` is Infiltration. The table of a
    public set with boxes is recognised; its images are named as they lie below `root`, where that is known.

    Raises TableError, which names file, line and column, for a file that is not such a CSV.
    """
    table = Table(path, "A list of boxes", "box")
    vocabulary = Vocabulary(model)
    image, words = _shaped(table, root)
    # Before the rows, so that a file changed in the meantime is not taken for another file's boxes.
    options: list[object] = [None if told is None else sorted(told.items()) for told in (columns, findings)]
    if set(model) != set(FINDINGS):
        options.append([*vocabulary.findings])
    fingerprint = fingerprint_of(path, [*options, image] if image else options)
    findings = {word: word for word in words if vocabulary.finding(word) is None} | {**(findings or {})}
    layout = table.lay_out(lambda header: _Columns(header, image, columns or {}, findings, vocabulary))
    return BoxList(path, fingerprint, tuple(table.rows(layout)))


def _shaped(table: Table, root: str) -> tuple[str, Sequence[str]]:
    """Leave a row per box in the table of a public set that has boxes.

    Returns the column of its images, blank for any other table, and the set's words for findings.
    """
    layout = layout_of(table.names, None)
    if layout is None or layout.boxes is None:
        return "", ()
    shape = Shape(table.names, table.records(), root=root)
    words = layout.boxes(shape)
    if not shape.changed:
        return "", ()
    table.reshape(shape.names, shape.records)
    return shape.facts["image"], words


def store_boxes(connection: Connection, drawn: BoxList) -> int:
    """Return the id of the set of boxes, writing them unless the same file was read before."""
    path = str(drawn.path.resolve())
    return find_or_write_boxes(connection, fingerprint=drawn.fingerprint, path=path, boxes=drawn.boxes)


class _Columns(Layout[Box]):
    """Which of the header's columns holds which part of a box."""

    repeats: ClassVar[bool] = True

    def __init__(
        self,
        header: Header,
        image: str,
        columns: Mapping[str, str],
        findings: Mapping[str, str],
        vocabulary: Vocabulary,
    ) -> None:
        self._vocabulary = vocabulary
        self._options = ({"image": image} if image else {}) | _by_role(columns)
        super().__init__(header, self._index(header, "image"))
        self._findings = {
            key_of(word): vocabulary.finding(finding) or finding.strip() for word, finding in findings.items()
        }
        self._finding = self._index(header, "finding")
        start = ABSENT if self._options.keys() - {"image", "finding"} else header.find(_QUOTED)
        if start != ABSENT:
            self._edges = (start, start + 1)
            self._ends = ((start + 2, False), (start + 3, False))
        else:
            self._edges = (self._index(header, "x"), self._index(header, "y"))
            self._ends = (self._end(header, "width", "x_max"), self._end(header, "height", "y_max"))
        last = max(*self._edges, *(index for index, _ in self._ends))
        width = max(last + 1, header.widths[0])
        self.widths = range(width, width + 1)
        # Names for errors: three of NIH's four numbers have no column name of their own.
        self._names = header.names + [""] * (width - len(header.names))

    def _index(self, header: Header, role: str) -> int:
        if role in self._options:
            return header.named(self._options[role])
        index = header.find(*_NAMES[role])
        if index == ABSENT:
            header.fail(f"no column is recognised as the {role}", f"Name it: --box-column {role}=COLUMN.")
        return index

    def _end(self, header: Header, size: str, edge: str) -> tuple[int, bool]:
        """Return the index of an axis' second number, and whether it is the far edge and not the size."""
        far = edge in self._options or header.find(*_NAMES[edge]) != ABSENT
        far = far and size not in self._options
        return self._index(header, edge if far else size), far

    def check_width(self, fields: list[str]) -> None:
        """Raise ColumnError at a record that is too short; blank fields after a box do no harm."""
        width = self.widths[0]
        if len(fields) < width or any(cell.strip() for cell in fields[width:]):
            refuse_width(fields, f"of a box {width}")

    def row(self, fields: list[str]) -> Box:
        """Read one record; raise ColumnError where it is not a box."""
        finding = self._known(fields[self._finding])
        x, y = (self._number(fields, index) for index in self._edges)
        width, height = (
            self._size(fields, index, edge if far else None)
            for (index, far), edge in zip(self._ends, (x, y), strict=True)
        )
        return Box(fields[self.image], finding, x, y, width, height)

    def _known(self, word: str) -> str:
        finding = self._findings.get(key_of(word)) or self._vocabulary.finding(word)
        if finding is None:
            known = ", ".join(dict.fromkeys(chain(self._vocabulary.findings, self._findings.values())))
            advice = f"Known are {known}; say which it is: --box-finding WORD=FINDING."
            raise ColumnError(f"the finding {shown(word)} is not known", advice, self._names[self._finding])
        return finding

    def _number(self, fields: list[str], index: int) -> float:
        cell = fields[index].strip()
        number = float(cell) if _NUMBER.fullmatch(cell) else float("nan")
        if not isfinite(number):
            raise ColumnError(
                f"{shown(cell)} is not a number", "Write pixels, such as 225.08.", self._column(index)
            )
        return number

    def _size(self, fields: list[str], index: int, edge: float | None) -> float:
        number = self._number(fields, index)
        if edge is not None and number <= edge:
            problem = f"the box ends at {number:g} where it begins at {edge:g} or before"
            raise ColumnError(problem, "Write the smaller one as x_min or y_min.", self._column(index))
        if edge is None and number <= 0:
            problem = f"the box has the size {number:g}"
            raise ColumnError(problem, "Width and height are more than 0 pixels.", self._column(index))
        return number if edge is None else number - edge

    def _column(self, index: int) -> str:
        return self._names[index] or next(name for name in reversed(self._names[:index]) if name)


def _by_role(columns: Mapping[str, str]) -> dict[str, str]:
    """Return role -> the file's column of an option, whose words may be any of the recognised names."""
    roles = {}
    for word, column in columns.items():
        role = _ROLE_OF.get(key_of(word))
        if role is None or role in roles:
            problem = f"{shown(word)} is {'no part of a box' if role is None else 'named twice'}"
            raise ColumnError(problem, f"--box-column names one column for each of {', '.join(_NAMES)}.")
        roles[role] = column
    return roles
