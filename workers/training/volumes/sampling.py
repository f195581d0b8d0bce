"""The course's sub-volumes: drawn at random until they are not nearly all background."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from config.cards.segmentation import SegmentationCard
from config.failures import ImageUnusableError
from workers.inference.volumes.prepare import brain_box, standardized_patch, standardized_volume
from workers.inference.volumes.volume import Labels, Volume

MOST_TRIES: Final = 1_000
"""Places that are tried in one volume before it is passed over, as in the course."""

Corner = tuple[int, int, int]
Patch = tuple[int, int, int]

_Number = TypeVar("_Number", bound=np.generic)

ReadCase = Callable[[str], tuple[Volume, Labels]]
"""From a case's name to its values and labels; raises ImageUnusableError."""

Sample = tuple[NDArray[np.float32], NDArray[np.float32]]
"""A sub-volume (x, y, z, channels), standardised, and its labels (x, y, z, classes) of 1 and 0."""


def draw_corner(
    labels: Labels, patch: Patch, max_background: float, rng: np.random.Generator
) -> Corner | None:
    """Draw where a sub-volume begins whose share of background is below `max_background`.

    Every place is as likely as the others; None where MOST_TRIES were all too empty. Along a side that is
    shorter than the patch it begins at 0.
    """
    for _ in range(MOST_TRIES):
        x, y, z = (
            int(rng.integers(0, max(length - edge, 0) + 1))
            for length, edge in zip(labels.shape, patch, strict=True)
        )
        inside = labels[x : x + patch[0], y : y + patch[1], z : z + patch[2]]
        if 1 - np.count_nonzero(inside) / np.prod(patch) < max_background:
            return x, y, z
    return None


@dataclass(frozen=True, slots=True)
class _Brain:
    """A case inside the box of its brain, as prediction sees it."""

    values: NDArray[np.float32]
    labels: Labels


class Sampler:
    """Draws a split's sub-volumes, and keeps count of the cases that give none.

    Cases are kept in memory as long as `memory` bytes hold them; the others are read again for each
    sub-volume.
    """

    def __init__(
        self,
        read: ReadCase,
        names: tuple[str, ...],
        card: SegmentationCard,
        *,
        max_background: float,
        samples: int,
        memory: int,
    ) -> None:
        self._read = read
        self._names = names
        self._card = card
        self._max_background = max_background
        self._samples = samples
        self._room = memory
        self._kept: dict[str, _Brain] = {}
        self.unusable: dict[str, ImageUnusableError] = {}
        """Case -> why it cannot be read; such cases are left out."""
        self.too_empty: set[str] = set()
        """Cases without a sub-volume that has enough of the classes."""

    def __len__(self) -> int:
        """Return the number of sub-volumes of an epoch, if every case gives its share."""
        return self._samples * len(self._names)

    def epoch(self, seed: tuple[int, ...]) -> Iterator[Sample]:
        """Yield an epoch's sub-volumes: `samples` rounds through all cases, order and places by the seed."""
        rng = np.random.default_rng(seed)
        for _ in range(self._samples):
            for index in rng.permutation(len(self._names)):
                sample = self._draw(self._names[index], rng)
                if sample is not None:
                    yield sample

    def _draw(self, name: str, rng: np.random.Generator) -> Sample | None:
        brain = self._brain(name)
        if brain is None:
            return None
        corner = draw_corner(brain.labels, self._card.patch, self._max_background, rng)
        if corner is None:
            self.too_empty.add(name)
            return None
        patch = self._card.patch
        values = standardized_patch(_cut(brain.values, corner, patch), self._card)
        labels = _cut(brain.labels, corner, patch)
        classes = np.arange(1, len(self._card.classes) + 1, dtype=np.uint8)
        return values, (labels[..., None] == classes).astype(np.float32)

    def _brain(self, name: str) -> _Brain | None:
        if name in self._kept:
            return self._kept[name]
        if name in self.unusable:
            return None
        try:
            volume, labels = self._read(name)
        except ImageUnusableError as error:
            self.unusable[name] = error
            return None
        box = brain_box(volume.values)
        values = np.ascontiguousarray(standardized_volume(volume.values[box], self._card))
        brain = _Brain(values, np.ascontiguousarray(labels[box]))
        size = brain.values.nbytes + brain.labels.nbytes
        if size <= self._room:
            self._room -= size
            self._kept[name] = brain
        return brain


def _cut(array: NDArray[_Number], corner: Corner, patch: Patch) -> NDArray[_Number]:
    """Return a patch of (x, y, z, ...), with zeros where it reaches beyond."""
    x, y, z = (slice(first, first + edge) for first, edge in zip(corner, patch, strict=True))
    cut = array[x, y, z]
    lacking = [(0, edge - length) for edge, length in zip(patch, cut.shape[:3], strict=True)]
    lacking += [(0, 0)] * (array.ndim - 3)
    return np.pad(cut, lacking) if any(end for _, end in lacking) else cut
