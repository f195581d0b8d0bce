"""The files that a name of a manifest stands for where it is a folder's: the slices of a volume."""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from config.failures import ImageUnusableError, Reason

MOST_PARTS: Final = 10_000


def bounded_parts(found: Iterable[str]) -> list[str]:
    """Return the names that a source finds below another, sorted; ImageUnusableError for none or too many."""
    parts = sorted({*islice(found, MOST_PARTS + 1)})
    if not parts:
        raise ImageUnusableError(Reason.EMPTY, "there is no file in it")
    if len(parts) > MOST_PARTS:
        raise ImageUnusableError(Reason.TOO_LARGE, f"there are more than {MOST_PARTS:,} files in it")
    return parts
