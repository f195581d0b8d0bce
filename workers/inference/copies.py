"""The copies among many pictures: each is compared with all, first by what fits into memory.

Products of sketches, which are correlations, leave one of 5,000 pairs of films; a step of alignment leaves a
tenth of these, an alignment of looks a hundredth. Only then are pictures read again.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from workers.inference.likeness import (
    CLOSE,
    COPY,
    NEAR,
    NEARER,
    PLACES,
    Looks,
    Sketches,
    coarse_likeness,
    shifted_likeness,
    sketches,
)

_BLOCK: Final = 2048
"""Pictures that are multiplied with as many others at once: 16 MB of products."""

_AT_ONCE: Final = 1024
"""Pairs that are looked at before it is seen which others are linked already."""

_SKETCHED: Final = 256

_Pairs = NDArray[np.intp]
"""Pairs of pictures by their numbers, (M, 2)."""


class Copy(NamedTuple):
    """Two pictures by their numbers, the other one's among `others` if there are any."""

    picture: int
    other: int
    correlation: float


class Search:
    """The search for copies among `looks` (N, 64, 64), or of them among `others` if given.

    `compare` gives the likeness of two pictures by their numbers. Every picture that has a copy is in a pair,
    but of three copies of one film two pairs are found, not three: those that are linked already are not
    compared, so that a thousand copies cost a thousand comparisons.
    """

    def __init__(
        self,
        looks: Looks,
        others: Looks | None,
        compare: Callable[[int, int], float],
        threads: ThreadPoolExecutor,
        known: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Make the sketches. `known`: pairs of copies that are not to be found again."""
        self._within = others is None
        self._looks = looks
        self._others = looks if others is None else others
        self._compare = compare
        self._threads = threads
        self._first = 0 if others is None else len(looks)
        self._group = np.arange(self._first + len(self._others))
        for picture, other in known:
            self._link(picture, other)
        self._sketches = _all_sketches(looks, threads)
        self._other_sketches = self._sketches if others is None else _all_sketches(others, threads)
        rows, columns = (range(0, len(part), _BLOCK) for part in (looks, self._others))
        blocks = ((row, column) for row in rows for column in columns)
        self._blocks = [block for block in blocks if block[0] <= block[1] or not self._within]

    def __len__(self) -> int:
        """Return the number of blocks."""
        return len(self._blocks)

    def __iter__(self) -> Iterator[list[Copy]]:
        """Search block by block; gives the copies that are found in each."""
        for row, column in self._blocks:
            pairs = self._near(row, column)
            found: list[Copy] = []
            while pairs.size:
                found += self._copies(pairs[:_AT_ONCE])
                pairs = self._unlinked(pairs[_AT_ONCE:])
            yield found

    def _near(self, row: int, column: int) -> _Pairs:
        """Return the pairs of a block whose sketches are alike, the most alike first."""
        block = self._sketches.part(slice(row, row + _BLOCK))
        others = self._other_sketches.part(slice(column, column + _BLOCK))
        best = np.abs(block.whole @ others.whole.T)
        for one, other in ((block.whole, others.middle), (block.middle, others.whole)):
            products = one @ other.T
            np.maximum(best, np.abs(products, out=products), out=best)
        if self._within and row == column:
            best = np.triu(best, 1)
        places = np.argwhere(best > NEAR)
        order = np.argsort(-best[places[:, 0], places[:, 1]], kind="stable")
        return self._unlinked(places[order] + (row, column))

    def _unlinked(self, pairs: _Pairs) -> _Pairs:
        unlinked: _Pairs = pairs[self._group[pairs[:, 0]] != self._group[self._first + pairs[:, 1]]]
        return unlinked

    def _link(self, picture: int, other: int) -> None:
        self._group[self._group == self._group[self._first + other]] = self._group[picture]

    def _copies(self, pairs: _Pairs) -> Iterator[Copy]:
        sketched = (self._sketches.part(pairs[:, 0]), self._other_sketches.part(pairs[:, 1]))
        pairs = pairs[shifted_likeness(*sketched) > NEARER]
        alike = self._threads.map(coarse_likeness, self._looks[pairs[:, 0]], self._others[pairs[:, 1]])
        close = np.abs(np.fromiter(alike, dtype=np.float64, count=len(pairs))) > CLOSE
        for picture, other in pairs[close].tolist():
            linked = self._group[picture] == self._group[self._first + other]
            if not linked and abs(correlation := self._compare(picture, other)) > COPY:
                self._link(picture, other)
                yield Copy(picture, other, correlation)


def _all_sketches(looks: Looks, threads: ThreadPoolExecutor) -> Sketches:
    made = Sketches(*(np.empty((len(looks), PLACES**2), dtype=np.float32) for _ in range(2)))
    starts = range(0, len(looks), _SKETCHED)
    parts = threads.map(sketches, (looks[start : start + _SKETCHED] for start in starts))
    for start, part in zip(starts, parts, strict=True):
        made.whole[start : start + _SKETCHED], made.middle[start : start + _SKETCHED] = part
    return made
