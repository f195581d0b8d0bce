"""Telling a source that fails from one that fails at a single image: by how long, and by what it gives."""

import time
from collections.abc import Callable
from typing import Final

from config.failures import ImageUnusableError, Reason

LASTING_MINUTES: Final = 30
"""So long a source may fail at an image: whatever befalls more than one is over by then, or befalls all."""


class LastingFaults:
    """The images at which one source has failed in this process; safe to use by many threads at once."""

    def __init__(self, seconds: float = 60.0 * LASTING_MINUTES) -> None:
        self._seconds = seconds
        self._since: dict[str, float] = {}
        self._given: str | None = None

    def given(self, name: str) -> None:
        """Note that the source has given an image."""
        self._given = name
        self._since.pop(name, None)

    def refuse(self, name: str, answered: str, gives: Callable[[str], bool]) -> None:
        """Raise ImageUnusableError where a source has failed at an image for long, and gives another now.

        `answered`: how it failed this time. `gives`: whether it gives an image now.
        """
        now = time.monotonic()
        since = self._since.setdefault(name, now)
        other = self._given
        if now - since < self._seconds or other is None or other == name or not gives(other):
            return
        raise ImageUnusableError(
            Reason.UNREADABLE,
            f"its server fails at it since {self._seconds / 60:.0f} minutes ({answered}), and gives others",
        )
