"""A value of a workbook, of Parquet or of JSON as the text that a CSV would have of it."""

from datetime import date, datetime, time
from math import isfinite, isnan
from typing import Final

_WHOLE: Final = 1e15
"""Numbers below it are written without a fraction of zero, and still exactly."""


def text_of(value: object) -> str:
    """Return a value's text: 1 for 1.0, blank for None and NaN, the day for a midnight, a|b for a list."""
    if value is None:
        return ""
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    if isinstance(value, list | tuple):
        return "|".join(map(text_of, value))
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _number(value: float) -> str:
    if isnan(value):
        return ""
    whole = isfinite(value) and value == int(value) and abs(value) < _WHOLE
    return str(int(value)) if whole else repr(value)
