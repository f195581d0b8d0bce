"""What a segmenting card's golden scores belong to: a drawn test volume of the same numbers everywhere."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.cards.segmentation import SegmentationCard
from workers.inference.volumes.prepare import standardized_patch, standardized_volume

_HEAD: Final = 1.6
"""The head's squared radius; the volume's sides are 2."""

_TISSUE: Final = (380, 550, 570, 370)
_BALLS: Final = {0.35: (760, 390, 400, 720), 0.16: (650, 400, 880, 610), 0.06: (540, 240, 250, 820)}
"""Greys in FLAIR, T1, T1Gd and T2 of white matter, and by squared radius of edema, of tumour that enhances
and of tumour that does not. What calls nothing here would call nothing after a mistake, either."""

_LONGEST: Final = (64, 64, 16)
"""Voxels; a large network answers for them within seconds."""


def golden_patch(card: SegmentationCard) -> NDArray[np.float32]:
    """Return the test volume as the network sees it: (x, y, z, channels)."""
    volume = standardized_volume(_drawn(card), card)
    return standardized_patch(volume, card)


def _drawn(card: SegmentationCard) -> NDArray[np.float32]:
    """Draw tissue with nested balls, greys by channel: no library's curves, no noise."""
    step = 2 ** (card.depth - 1)
    shape = [
        max(step, min(edge, most) // step * step) for edge, most in zip(card.patch, _LONGEST, strict=True)
    ]
    axes = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    radius = sum(axis**2 for axis in axes)
    aside = sum((axis - shift) ** 2 for axis, shift in zip(axes, (0.2, -0.2, 0.1), strict=True))
    drawn = np.zeros((*shape, len(card.channels)))
    for channel in range(len(card.channels)):
        grey = _TISSUE[channel % len(_TISSUE)] + 20 * axes[0] + 20 * axes[1] * axes[2]
        for size, greys in _BALLS.items():
            grey = np.where(aside < size, greys[channel % len(greys)], grey)
        drawn[..., channel] = np.where(radius < _HEAD, grey, 0)
    return drawn.astype(np.float32)
