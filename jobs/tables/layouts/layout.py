"""The layout of a public set: how it is recognised, its words for findings, how it is brought into form."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from jobs.tables.layouts.shape import Shape
from jobs.tables.reading import ReadOptions


@dataclass(frozen=True, slots=True)
class SetLayout:
    """The tables of one public set.

    `title`: as people call the set. `signatures`: a table that has all columns of one of them is the set's.
    `reshape` brings it into a manifest's form. `words`: the set's word for a finding, in a cell or as a
    column's name -> the finding, beside the usual spellings. `boxes`, of a set that has any, leaves a row per
    box and returns the set's own words for findings. `row`: the columns of the one table, of several that are
    joined, which has a row per image; `lacking` says what to join where none has them.
    """

    title: str
    signatures: tuple[tuple[str, ...], ...]
    reshape: Callable[[Shape, ReadOptions], None]
    words: Mapping[str, str] = field(default_factory=dict)
    boxes: Callable[[Shape], Sequence[str]] | None = None
    row: tuple[str, ...] = ()
    lacking: str = ""
