"""From a volume's values to what the network sees: cropped to the brain, and standardised."""

import numpy as np
from numpy.typing import NDArray

from config.cards.segmentation import SegmentationCard

Box = tuple[slice, slice, slice]
"""Voxels along x, y and z."""


def brain_box(values: NDArray[np.float32]) -> Box:
    """Return the smallest box with all voxels that are not zero in every channel of (x, y, z, channels).

    A brain without its skull lies in zeros; of a whole head this is the whole volume.
    """
    brain = np.asarray(values.any(axis=3), dtype=np.bool_)
    sides = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        used = np.flatnonzero(brain.any(axis=others))
        sides.append(slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 0))
    return sides[0], sides[1], sides[2]


def standardized_volume(values: NDArray[np.float32], card: SegmentationCard) -> NDArray[np.float32]:
    """Standardise what the card standardises before patches are cut; (x, y, z, channels) in and out."""
    if card.standardization != "brain":
        return values
    brain = values.any(axis=3)
    scaled = np.zeros_like(values)
    for channel in range(values.shape[3]):
        inside = values[..., channel][brain].astype(np.float64)
        spread = inside.std()
        if spread > 0:
            scaled[..., channel][brain] = (inside - inside.mean()) / spread
    return scaled


def standardized_patch(patch: NDArray[np.float32], card: SegmentationCard) -> NDArray[np.float32]:
    """Standardise what the card standardises in each patch, as in training; (x, y, z, channels).

    plane: every channel's every z plane to mean 0 and standard deviation 1; one of a single value becomes 0.
    The course standardises so in training and, by mistake, not in prediction.
    """
    if card.standardization != "plane":
        return patch
    mean = patch.mean(axis=(0, 1), dtype=np.float64)
    spread = patch.std(axis=(0, 1), dtype=np.float64)
    flat = spread <= np.finfo(np.float32).eps * np.abs(mean)
    scaled: NDArray[np.float32] = ((patch - mean) / np.where(flat, 1.0, spread)).astype(np.float32)
    scaled[:, :, flat] = 0.0
    return scaled
