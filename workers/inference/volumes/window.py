"""A volume segmented patch by patch: patches overlap, and count most in their middles.

The course tiles without overlap from the corner on, so that patches reach beyond the volume. Here they are
spread evenly, weighted by a Gaussian (Isensee et al., nnU-Net, Nature Methods 2021), and the empty ones are
left out.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, product
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from config.cards.segmentation import SegmentationCard
from workers.inference.volumes.prepare import Box, brain_box, standardized_patch, standardized_volume

_SIGMA: Final = 1 / 8
"""Of the Gaussian, in edges of the patch."""

_LEAST_WEIGHT: Final = 1e-3
"""Of the middle's: a corner that one patch alone covers has a probability, too."""


class VolumeEngine(Protocol):
    """What runs a network on patches; `name`: as the ledger has it, `batch`: how many patches at once."""

    name: str
    batch: int

    def segment(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities (N, x, y, z, classes) of patches (N, x, y, z, channels)."""

    def release(self) -> None:
        """Give back the memory that patches took; the next one takes it again."""


Corner = tuple[int, int, int]
"""Of a patch: its first voxel."""

Probabilities = NDArray[np.float32]
"""(classes, x, y, z)."""


def segment_volume(
    values: NDArray[np.float32],
    card: SegmentationCard,
    engine: VolumeEngine,
    order: Callable[[Sequence[Corner]], Sequence[Corner]] = lambda corners: corners,
) -> tuple[Probabilities, Box]:
    """Segment the brain in (x, y, z, channels); returns its probabilities and where it lies.

    Outside of the box all probabilities are 0. `order` may put the patches into any order: the result is the
    same to the last bit, as sums of whole numbers are.

    Raises FloatingPointError where an answer is no number.
    """
    box = brain_box(values)
    brain = standardized_volume(values[box], card)
    shape = brain.shape[:3]
    starts = [_starts(*side, card.overlap) for side in zip(shape, card.patch, strict=True)]
    weights = _weights(card.patch, starts)
    total = np.zeros(shape, dtype=np.uint32)
    sums = np.zeros((len(card.classes), *shape), dtype=np.uint32)
    corners = [*product(starts[0], starts[1], starts[2])]
    used = _used(brain, card.patch, order(corners))
    while group := [*islice(used, engine.batch)]:
        patches = np.stack([standardized_patch(_cut(brain, card.patch, corner), card) for corner in group])
        answers = engine.segment(patches)
        if not np.isfinite(answers).all():
            raise FloatingPointError("the network gave a probability that is no number")
        for corner, answer in zip(group, answers, strict=True):
            place = _place(corner, card.patch, shape)
            inside = tuple(slice(0, side.stop - side.start) for side in place)
            weight = weights[inside]
            total[place] += weight
            for index in range(len(card.classes)):
                share = np.rint(answer[(*inside, index)].astype(np.float64) * weight)
                sums[(index, *place)] += share.astype(np.uint32)
    engine.release()
    probabilities = np.zeros(sums.shape, dtype=np.float32)
    np.divide(sums, total, out=probabilities, where=total > 0, casting="same_kind", dtype=np.float32)
    return probabilities, box


def label_map(probabilities: Probabilities, threshold: float) -> NDArray[np.uint8]:
    """Return labels (x, y, z): the class with the largest probability where it is at least `threshold`.

    0 elsewhere; of equal ones the first. The course writes probabilities into whole numbers, so that only
    those of exactly 1 count, and uses its threshold nowhere.
    """
    largest = probabilities.max(axis=0)
    labels: NDArray[np.uint8] = probabilities.argmax(axis=0).astype(np.uint8) + np.uint8(1)
    labels[largest < threshold] = 0
    return labels


def _starts(length: int, edge: int, overlap: float) -> list[int]:
    """Return where patches of `edge` voxels begin along a side, evenly spread from end to end."""
    if length <= edge:
        return [0]
    steps = int(np.ceil((length - edge) / (edge * (1 - overlap)) - 1e-9))
    return [round(step * (length - edge) / steps) for step in range(steps + 1)]


def _weights(patch: tuple[int, int, int], starts: Sequence[Sequence[int]]) -> NDArray[np.uint32]:
    """Return the weights of a patch's voxels, a Gaussian in whole numbers.

    They are as large as 32 bits hold the sum of where the most patches overlap. `starts`: of the patches,
    along each axis.
    """
    weights = np.ones((1, 1, 1))
    most = 1
    for axis, (edge, firsts) in enumerate(zip(patch, starts, strict=True)):
        distance = np.arange(edge) - (edge - 1) / 2
        side = np.exp(-0.5 * (distance / (edge * _SIGMA)) ** 2)
        weights = weights * np.expand_dims(side / side.max(), [other for other in range(3) if other != axis])
        most *= int(np.bincount(np.add.outer(firsts, np.arange(edge)).ravel()).max())
    largest = (2**32 - 1) / (most + 1)
    return np.rint(np.maximum(weights, _LEAST_WEIGHT) * largest).astype(np.uint32)


def _used(
    brain: NDArray[np.float32], patch: tuple[int, int, int], corners: Sequence[Corner]
) -> Iterator[Corner]:
    return (corner for corner in corners if brain[_place(corner, patch, brain.shape[:3])].any())


def _place(corner: Corner, patch: tuple[int, int, int], shape: tuple[int, ...]) -> Box:
    x, y, z = (
        slice(first, min(first + edge, length))
        for first, edge, length in zip(corner, patch, shape, strict=True)
    )
    return x, y, z


def _cut(brain: NDArray[np.float32], patch: tuple[int, int, int], corner: Corner) -> NDArray[np.float32]:
    """Return a patch, with zeros where it is larger than the brain."""
    cut = brain[_place(corner, patch, brain.shape[:3])]
    lacking = [(0, edge - length) for edge, length in zip(patch, cut.shape[:3], strict=True)]
    return np.pad(cut, [*lacking, (0, 0)]) if any(end for _, end in lacking) else cut
