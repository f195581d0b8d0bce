"""The answer of a check, and what the checks are told: the settings, and the archive where it is known."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from config.settings import Settings


class State(StrEnum):
    """How what was asked stands."""

    OK = "ok"
    """It is as it must be."""

    WARNING = "warning"
    """A night can begin; what it may meet is said."""

    FAULT = "fault"
    """A night would not end, or not begin."""

    UNASKED = "unasked"
    """It could not be asked; the line says why."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line: what was asked, how it stands, what was seen, and what to do (nothing where all is well)."""

    name: str
    state: State
    seen: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Night:
    """What is to be scored, as far as it is known: how many images, their root, a manifest's names."""

    settings: Settings
    images: int | None = None
    root: str | None = None
    names: Sequence[str] = ()


Check = Callable[[Night], Iterator[Verdict]]
"""Asks about one thing; may raise what the thing itself raises where it cannot be asked."""
