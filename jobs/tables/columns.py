"""The columns of a table: which is which, and how their cells are read.

An error in them is raised as `ColumnError`, to which `jobs.tables.table` adds the file and the line.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, NoReturn, TypeVar

from config.findings import FINDINGS

UNKNOWN: Final = "-"
"""The label of a finding that nobody looked for."""

ABSENT: Final = -1
"""Index of a recognised column that the file does not have."""

IMAGE_NAMES: Final = ("Image Index", "Image", "image_path", "path", "filename", "file")
_FLAGS: Final = {"0": "0", "0.0": "0", "1": "1", "1.0": "1", "": UNKNOWN}
_SEXES: Final = {"f": "F", "female": "F", "m": "M", "male": "M", "o": "O", "other": "O"}
_NO_SEX: Final = ("", "u", "unknown")
_YEARS: Final = {"": 1.0, "Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_AGE: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]+)?)([YMWD]?)", re.ASCII)
_FOLLOW_UP: Final = re.compile(r"([0-9]{1,9})(?:\.0)?", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

K = TypeVar("K")
V = TypeVar("V")


class ColumnError(Exception):
    """A header or a cell that cannot be read; it never leaves jobs.tables, where it becomes a TableError.

    `column` is the name of the column, if the problem is in one.
    """

    def __init__(self, problem: str, advice: str, column: str | None = None) -> None:
        super().__init__(problem, advice, column)
        self.problem = problem
        self.advice = advice
        self.column = column


class Parsed(dict[K, V], Generic[K, V]):
    """Parses each distinct cell once; the real manifest has 836 distinct label cells in 112,120 rows."""

    def __init__(self, parse: Callable[[K], V]) -> None:
        super().__init__()
        self._parse = parse

    def __missing__(self, cell: K) -> V:
        value = self[cell] = self._parse(cell)
        return value


@dataclass(frozen=True, slots=True)
class Column(Generic[V]):
    """A column's index, and what its cells mean."""

    index: int
    values: Parsed[str, V]


class Header:
    """Finds columns by name: case, spaces, underscores, hyphens and # do not count."""

    def __init__(self, names: list[str]) -> None:
        self.names = [name.strip() for name in names]
        self._keys = [key_of(name) for name in self.names]
        named = max((index + 1 for index, name in enumerate(self.names) if name), default=0)
        # The 2017 release of NIH's file ends its header, and its rows, in a comma.
        self.widths = range(named, len(names) + 1)

    def find(self, *names: str) -> int:
        """Return the index of the first name that the header has, or ABSENT."""
        for key in map(key_of, names):
            if key in self._keys:
                return self._only([index for index, known in enumerate(self._keys) if known == key])
        return ABSENT

    def column(self, parse: Callable[[str, str], V], *names: str) -> Column[V]:
        """Return the column that has the first of these names, or one of blank cells at ABSENT."""
        index = self.find(*names)
        return Column(index, Parsed(partial(parse, self.names[index])))

    def image(self, option: str | None) -> int:
        """Return the index of the images' column: the one `option` names, else a recognised one."""
        if option is not None:
            return self.named(option)
        index = self.find(*IMAGE_NAMES)
        if index == ABSENT:
            self.fail("no column is recognised as the image's", "Name it with --image-column.")
        return index

    def findings(self, option: Mapping[str, str] | None) -> dict[str, int]:
        """Return finding -> index of its column."""
        if option is None:
            found = {finding: self.find(finding) for finding in FINDINGS}
            return {finding: index for finding, index in found.items() if index != ABSENT}
        columns: dict[str, int] = {}
        for name, wanted in option.items():
            finding = finding_of(wanted) or wanted.strip()
            if not finding or finding in columns:
                problem = f"the finding {shown(finding)} is blank or has a second column, {shown(name)}"
                raise ColumnError(problem, "Give each finding a name and one column.")
            columns[finding] = self.named(name)
        return columns

    def named(self, name: str) -> int:
        """Return the index of the column that an option names; raise ColumnError where there is none."""
        exact = [index for index, known in enumerate(self.names) if known and known == name.strip()]
        index = self._only(exact) if exact else self.find(name) if key_of(name) else ABSENT
        if index == ABSENT:
            self.fail(f"there is no column {shown(name)}", "Name one of these.")
        return index

    def _only(self, indexes: list[int]) -> int:
        if len(indexes) > 1:
            names = " and ".join(shown(self.names[index]) for index in indexes)
            problem = f"{len(indexes)} columns have the same name: {names}"
            raise ColumnError(problem, "Remove or rename all but one.", self.names[indexes[0]])
        return indexes[0]

    def fail(self, problem: str, advice: str) -> NoReturn:
        """Raise ColumnError: the problem, the columns that there are, and what to do."""
        if len(self.names) == 1:
            advice += " Columns are separated by commas, not by semicolons or tabs."
        raise ColumnError(f"{problem}; the columns are {shown(', '.join(self.names), 400)}", advice)


def key_of(name: str) -> str:
    """Return the part of a name that counts: without case, spaces, underscores, hyphens and #."""
    return re.sub(r"[\s_#-]+", "", name.casefold())


_FINDING_OF: Final = {key_of(finding): finding for finding in FINDINGS}


def finding_of(name: str) -> str | None:
    """Return which of the 14 findings a name means, in any spelling; None if it is none of them."""
    return _FINDING_OF.get(key_of(name))


def shown(text: str, limit: int = 60) -> str:
    """Quote a file's text so that it stays on one line."""
    return repr(text if len(text) <= limit else text[:limit] + "…")


def check_image(column: str, image: str) -> None:
    """Raise ColumnError where an image's name is blank or holds a control character."""
    if not image.strip():
        raise ColumnError("the image's name is blank", "Write its path below the images' root.", column)
    if _CONTROL.search(image):
        problem = f"the image's name {shown(image)} holds a control character"
        raise ColumnError(problem, "Write its path as it is on disk, on one line.", column)


def parse_follow_up(column: str, cell: str) -> int | None:
    """Understand 3 and, from tables that went through pandas, 3.0."""
    form = _FOLLOW_UP.fullmatch(cell.strip())
    if form is None and cell.strip():
        raise ColumnError(
            f"follow-up {shown(cell)} is not a whole number", "Write 0, 1, 2, or nothing.", column
        )
    return int(form[1]) if form else None


def parse_view(_: str, cell: str) -> str | None:
    """Take any word for a view, in upper case."""
    return cell.strip().upper() or None


def parse_sex(column: str, cell: str) -> str | None:
    """Understand a letter or a word in either case; U and unknown count as blank."""
    word = cell.strip().casefold()
    if word not in _SEXES and word not in _NO_SEX:
        raise ColumnError(f"sex {shown(cell)} is none of F, M, O and blank", "Write one of these.", column)
    return _SEXES.get(word)


def parse_age(column: str, cell: str) -> float | None:
    """Understand 58, 58.5 and DICOM's 060Y, 011M, 003W, 012D."""
    form = _AGE.fullmatch(cell.strip().upper())
    if form is None and cell.strip():
        advice = "Write years (60) or a number with Y, M, W or D (011M), or nothing."
        raise ColumnError(f"age {shown(cell)} is not an age", advice, column)
    return float(form[1]) * _YEARS[form[2]] if form else None


def parse_flags(columns: list[str], cells: tuple[str, ...]) -> str:
    """Read one cell per finding: 1, 0, or blank where nobody looked."""
    for column, cell in zip(columns, cells, strict=True):
        if cell.strip() in {"-1", "-1.0"}:
            problem = f"label {shown(cell)} means uncertain, as in CheXpert, and is not guessed at"
            raise ColumnError(problem, "Decide: 1, 0, or blank for unknown.", column)
        if cell.strip() not in _FLAGS:
            problem = f"label {shown(cell)} is none of 0, 1 and blank"
            raise ColumnError(problem, "Write 1 for present, 0 for absent, nothing for unknown.", column)
    return "".join(_FLAGS[cell.strip()] for cell in cells)


def parse_listed(columns: list[str], cells: tuple[str, ...]) -> str:
    """Read NIH's cell: findings separated by |, "No Finding", or blank where nobody looked."""
    column, cell = columns[0], cells[0]
    if not cell.strip():
        return UNKNOWN * len(FINDINGS)
    names = {key_of(name): name for name in cell.split("|")}
    healthy = names.pop(key_of("No Finding"), None)
    if healthy is not None and names:
        advice = 'Keep either "No Finding" or the findings.'
        raise ColumnError(f"{shown(cell)} says No Finding and names findings", advice, column)
    for name in names.values():
        if finding_of(name) is None:
            advice = f"Separate with | some of {', '.join(FINDINGS)}."
            raise ColumnError(f"{shown(name)} is none of the 14 findings", advice, column)
    return "".join("1" if key_of(finding) in names else "0" for finding in FINDINGS)
