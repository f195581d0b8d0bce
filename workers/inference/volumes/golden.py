"""What a segmenting card's golden scores belong to: a drawn test volume of the same numbers everywhere."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.cards.segmentation import SegmentationCard
from workers.inference.volumes.prepare import standardized_patch, standardized_volume

_HEAD: Final = 0.9
"""The head's squared radius; the volume's sides are 2."""

_LONGEST: Final = (64, 64, 16)
"""Voxels; a large network answers for them within seconds."""


def golden_patch(card: SegmentationCard) -> NDArray[np.float32]:
    """Return the test volume as the network sees it: (x, y, z, channels)."""
    volume = standardized_volume(_drawn(card), card)
    return standardized_patch(volume, card)


def _drawn(card: SegmentationCard) -> NDArray[np.float32]:
    """Draw a head with nested balls, each channel with greys of its own: no library's curves, no noise."""
    step = 2 ** (card.depth - 1)
    shape = [
        max(step, min(edge, most) // step * step) for edge, most in zip(card.patch, _LONGEST, strict=True)
    ]
    axes = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    radius = sum(axis**2 for axis in axes)
    aside = sum((axis - shift) ** 2 for axis, shift in zip(axes, (0.3, -0.2, 0.1), strict=True))
    drawn = np.zeros((*shape, len(card.channels)))
    for channel in range(len(card.channels)):
        grey = 400 + 100 * axes[0] + 50 * (channel + 1) * axes[1] * axes[2]
        for ball, size in enumerate((0.2, 0.1, 0.04)):
            grey = np.where(aside < size, 500 + 150 * ((channel + 2 * ball) % 4), grey)
        drawn[..., channel] = np.where(radius < _HEAD, grey, 0)
    return drawn.astype(np.float32)
