"""How the cells about a patient and an image are read: age, sex, view, follow-up, and words for unknown."""

import re
from collections.abc import Callable, Iterable
from typing import Final

from jobs.tables.columns import ColumnError, shown

OLDEST: Final = 120.0
"""Years; an age above it is a slip of the pen or a code, and is taken as unknown."""

_UNKNOWN_WORDS: Final = frozenset({"na", "n/a", "#n/a", "<na>", "nan", "none", "null"})
_SEXES: Final = {"f": "F", "female": "F", "m": "M", "male": "M", "o": "O", "other": "O"}
_NO_SEX: Final = frozenset({"u", "unknown", "x"})
_YEARS: Final = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_AGE: Final = re.compile(
    r"(?P<over>>=?)?\s*(?P<number>[0-9]{1,3}(?:[.,][0-9]+)?)\s*"
    r"(?P<unit>Y|YRS?|YEARS?|M|MONTHS?|W|WEEKS?|D|DAYS?)?(?:\s*OLD)?\s*"
    r"(?P<open>\+|OR MORE|OR OLDER|AND OVER|AND OLDER)?",
    re.ASCII,
)
_FRONTAL: Final = ("AP", "PA", "FRONTAL", "ANTERO", "POSTERO", "ANTERIOR", "POSTERIOR")
_NUMBER: Final = re.compile(r"0*([0-9]+?)(?:[.,]0+)?", re.ASCII)
_FOLLOW_UP: Final = re.compile(r"([0-9]{1,9})(?:[.,]0)?", re.ASCII)


def is_unknown(cell: str) -> bool:
    """Return whether a cell is blank, or one of the words that programs write in place of a blank."""
    return not cell.strip() or is_unknown_word(cell)


def is_unknown_word(cell: str) -> bool:
    """Return whether a cell is NA, N/A, nan, None or NULL."""
    return cell.strip().casefold() in _UNKNOWN_WORDS


def parse_follow_up(column: str, cell: str) -> int | None:
    """Understand 3 and, from tables that went through pandas, 3.0."""
    if is_unknown(cell):
        return None
    form = _FOLLOW_UP.fullmatch(cell.strip())
    if form is None:
        raise ColumnError(
            f"follow-up {shown(cell)} is not a whole number", "Write 0, 1, 2, or nothing.", column
        )
    return int(form[1])


def patient_parser(cells: Iterable[str]) -> Callable[[str], str | None]:
    """Return how a column of patients is read, given all of its cells.

    Where every one is a whole number, 1, 1.0 and 0001 are one patient: programs add and drop these zeros. One
    cell that is no number makes all of them names, which are kept as they are.
    """
    numbers = all(is_unknown(cell) or _NUMBER.fullmatch(cell.strip()) for cell in cells)

    def parse(cell: str) -> str | None:
        if is_unknown(cell):
            return None
        number = _NUMBER.fullmatch(cell.strip()) if numbers else None
        return number[1] if number else cell.strip()

    return parse


def parse_view(_: str, cell: str) -> str | None:
    """Take any word for a view, in upper case."""
    return None if is_unknown(cell) else cell.strip().upper()


def is_frontal(view: str | None) -> bool:
    """Return whether a view, as `parse_view` gives it, is frontal; one that is not known counts as frontal.

    Public sets write PA, AP, AP SUPINE, AP_HORIZONTAL, PA LLD, FRONTAL, POSTEROANTERIOR.
    """
    return view is None or view.startswith(_FRONTAL)


def parse_sex(column: str, cell: str) -> str | None:
    """Understand a letter or a word in either case; U, X and unknown count as blank."""
    word = cell.strip().casefold()
    if is_unknown(word) or is_no_sex(word):
        return None
    if word not in _SEXES:
        raise ColumnError(f"sex {shown(cell)} is none of F, M, O and blank", "Write one of these.", column)
    return _SEXES[word]


def is_no_sex(cell: str) -> bool:
    """Return whether a cell says that the sex is not known: U, X or unknown."""
    return cell.strip().casefold() in _NO_SEX


def parse_age(column: str, cell: str) -> float | None:
    """Understand 58, 58.5, 58 years, DICOM's 060Y, 011M, 003W, 012D, and open ages such as 90+ and >89.

    An open age is its lowest whole number, 90 for both; one over OLDEST is unknown.
    """
    if is_unknown(cell):
        return None
    years = written_age(cell)
    if years is None:
        advice = "Write years (60) or a number with Y, M, W or D (011M), or nothing."
        raise ColumnError(f"age {shown(cell)} is not an age", advice, column)
    return years if years <= OLDEST else None


def written_age(cell: str) -> float | None:
    """Return the years that a cell states, however many; None where it is not an age."""
    form = _AGE.fullmatch(cell.strip().upper().replace("≥", ">="))
    if form is None:
        return None
    number = float(form["number"].replace(",", ".")) + (form["over"] == ">")
    return number * _YEARS[(form["unit"] or "Y")[0]]


def is_open_age(cell: str) -> bool:
    """Return whether a cell states an age without an upper bound."""
    form = _AGE.fullmatch(cell.strip().upper().replace("≥", ">="))
    return form is not None and bool(form["over"] or form["open"])
