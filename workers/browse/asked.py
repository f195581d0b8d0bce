"""What an address asks for: the filters and the place in a list, checked before the database sees them."""

import math
from collections.abc import Mapping, Sequence
from typing import Final, cast, get_args
from urllib.parse import urlencode

from werkzeug.exceptions import BadRequest

from config.failures import Reason
from db.browsing import Finding, Key, Labels, Wanted

FAILURES: Final = ("none", "any", *Reason)
_LARGEST: Final = 2**31 - 1
"""The numbers of images and rows have 32 bits."""


def wanted(arguments: Mapping[str, str], findings: Sequence[Finding]) -> Wanted:
    """Read the filters; BadRequest says which one is not one."""
    name = arguments.get("finding", "")
    by_name = {finding.name: finding for finding in findings}
    if name and name not in by_name:
        raise BadRequest("finding: the run's model has no such finding")
    label = arguments.get("label", "")
    if label and label not in get_args(Labels):
        raise BadRequest("label: 1, 0 or -")
    failure = arguments.get("failure", "")
    if failure and failure not in FAILURES:
        raise BadRequest("failure: none, any, or a reason of docs/failures.md")
    return Wanted(
        finding=by_name.get(name),
        at_least=_probability(arguments.get("at_least", "")),
        label=cast(Labels, label) if label else None,
        failure=failure or None,
    )


def _probability(given: str) -> float | None:
    if not given:
        return None
    found = _number(given, "at_least")
    if not 0 <= found <= 1:
        raise BadRequest("at_least: a probability from 0 to 1")
    return found


def key_of(given: str | None, filters: Wanted) -> Key | None:
    """Read the place that a page begins behind: as many numbers as its list has keys."""
    if not given:
        return None
    by_score = filters.finding is not None and filters.failure in {None, "none"}
    *scores, last = (_number(part, "after") for part in given.split(",", maxsplit=2))
    if len(scores) != by_score or not 0 <= last <= _LARGEST or not all(0 <= score <= 1 for score in scores):
        raise BadRequest("after: no place in this list")
    return (*scores, int(last))


def _number(given: str, name: str) -> float:
    try:
        found = float(given)
    except ValueError:
        raise BadRequest(f"{name}: no number") from None
    if not math.isfinite(found):
        raise BadRequest(f"{name}: no number")
    return found


def query(filters: Wanted, after: Key | None = None, shown: str | None = None) -> str:
    """Write the query of an address: blank, or `?` and what is not the default. `shown`: a map's finding."""
    given = {
        "finding": filters.finding and filters.finding.name,
        "at_least": None if filters.at_least is None else repr(filters.at_least),
        "label": filters.label,
        "failure": filters.failure,
        "map": shown,
        "after": None if after is None else ",".join(map(repr, after)),
    }
    written = urlencode({name: value for name, value in given.items() if value is not None})
    return f"?{written}" if written else ""
