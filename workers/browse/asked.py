"""What an address asks for, checked before the database sees it; BadRequest says which part is wrong."""

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar
from urllib.parse import urlencode

from werkzeug.exceptions import BadRequest

from config.failures import Reason
from db.browsing.pages import Key

FAILURES: Final = ("none", "any", *Reason)
_LARGEST: Final = 2**31 - 1
"""The numbers of images and rows have 32 bits."""


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


class Range(NamedTuple):
    """What numbers may be given, and how that is said."""

    low: float
    high: float
    words: str


SHARE: Final = Range(0, 1, "from 0 to 1")


def named(arguments: Mapping[str, str], part: str, findings: Sequence[N]) -> N | None:
    """Read a finding of the run's model by its name."""
    name = arguments.get(part, "")
    by_name = {finding.name: finding for finding in findings}
    if name and name not in by_name:
        raise BadRequest(f"{part}: the run's model has no such finding")
    return by_name.get(name)


def chosen(arguments: Mapping[str, str], part: str, choices: Sequence[str], words: str) -> str | None:
    """Read one of several words."""
    given = arguments.get(part, "")
    if given and given not in choices:
        raise BadRequest(f"{part}: {words}")
    return given or None


def failure(arguments: Mapping[str, str]) -> str | None:
    """Read which outcomes are wanted."""
    return chosen(arguments, "failure", FAILURES, "none, any, or a reason of docs/failures.md")


def within(arguments: Mapping[str, str], part: str, wanted: Range) -> float | None:
    """Read a number of a range."""
    given = arguments.get(part, "")
    if not given:
        return None
    found = _number(given, part)
    if not wanted.low <= found <= wanted.high:
        raise BadRequest(f"{part}: {wanted.words}")
    return found


def key_of(given: str | None, figure: Range | None) -> Key | None:
    """Read the place that a page begins behind: a row's number, after the list's `figure` if it has one."""
    if not given:
        return None
    *figures, last = (_number(part, "after") for part in given.split(",", maxsplit=2))
    if (
        len(figures) != (figure is not None)
        or not 0 <= last <= _LARGEST
        or (figure is not None and not figure.low <= figures[0] <= figure.high)
    ):
        raise BadRequest("after: no place in this list")
    return (*figures, int(last))


def _number(given: str, part: str) -> float:
    try:
        found = float(given)
    except ValueError:
        raise BadRequest(f"{part}: no number") from None
    if not math.isfinite(found):
        raise BadRequest(f"{part}: no number")
    return found


def query(given: Mapping[str, str | None], after: Key | None = None) -> str:
    """Write the query of an address: blank, or `?` and what is not the default."""
    parts = {**given, "after": None if after is None else ",".join(map(repr, after))}
    written = urlencode({name: value for name, value in parts.items() if value is not None})
    return f"?{written}" if written else ""
