"""The anatomy of a drawn head: brain, ventricles and a nested tumour, on a grid of voxels."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

SHAPE: Final = (96, 96, 64)
"""Voxels along x, y and z: left to right, back to front, and up."""

SPACING_MM: Final = 2.0
"""Side of a voxel."""

_BRAIN_MM: Final = (68.0, 84.0, 56.0)
"""Half axes of the ellipsoid; an adult's brain is some 136 x 168 x 112 mm."""

_LOW_GRADE_SHARE: Final = 0.15
_HEALTHY_SHARE: Final = 0.05
"""Shares of heads whose tumour does not take up contrast medium, and of heads without one."""


_CORTEX: Final = 0.82
_RIM: Final = 0.97
"""Where grey matter and the fluid around the brain begin, as shares of its radius."""

_FISSURE_MM: Final = (2.0, 8.0)
_FISSURE_DEPTH: Final = 0.55
"""The gap between the hemispheres: half its width, above which height, and from which share on."""


class Tissue(IntEnum):
    """What a voxel is; the tumour's tissues are those of a label, in another numbering."""

    OUTSIDE = 0
    FLUID = 1
    GREY = 2
    WHITE = 3
    EDEMA = 4
    CORE = 5
    ENHANCING = 6


@dataclass(frozen=True, slots=True)
class Head:
    """Tissues (x, y, z), int8 of `Tissue`, and the label of the same shape.

    The label, uint8, has the numbers of the Medical Segmentation Decathlon's first task: 0 background,
    1 edema, 2 tumour that does not enhance, 3 tumour that does.
    """

    tissues: NDArray[np.int8]
    label: NDArray[np.uint8]


def build_head(rng: np.random.Generator) -> Head:
    """Draw the anatomy of one head; the generator's state alone decides how it looks."""
    x, y, z = _grid()
    half = np.array(_BRAIN_MM) * rng.uniform(0.93, 1.05, 3)
    # The surface is a little uneven, the cortex folded.
    radius = np.sqrt((x / half[0]) ** 2 + (y / half[1]) ** 2 + (z / half[2]) ** 2)
    radius += 0.025 * _field(rng, 6)
    folds = 0.05 * _field(rng, 2)
    tissues = np.full(SHAPE, Tissue.WHITE, np.int8)
    tissues[radius + folds > _CORTEX] = Tissue.GREY
    for side in (-1, 1):
        tissues[_ellipsoid(x - side * 23, y - 4, z + 2, (9, 15, 9))] = Tissue.GREY
    wide, high = _FISSURE_MM
    fissure = (np.abs(x) < wide) & (z > high) & (radius > _FISSURE_DEPTH)
    tissues[(radius + folds > _RIM) | fissure] = Tissue.FLUID
    width = rng.uniform(0.7, 1.5)
    uneven = 0.15 * _field(rng, 3)
    for side in (-1, 1):
        bent = x - side * (9 + 0.006 * y**2)
        tissues[_ellipsoid(bent, y + 4, z - 8, (6 * width, 32, 8 * width), uneven)] = Tissue.FLUID
    tissues[_ellipsoid(x, y - 2, z + 8, (3 * width, 14, 9))] = Tissue.FLUID
    tissues[radius > 1] = Tissue.OUTSIDE
    _grow_tumour(rng, tissues, half)
    label = np.maximum(tissues - Tissue.WHITE, 0).astype(np.uint8)
    return Head(tissues, label)


def _grow_tumour(rng: np.random.Generator, tissues: NDArray[np.int8], half: NDArray[np.float64]) -> None:
    """Put a tumour into the brain, in place: edema around a core, whose outer part enhances."""
    kind = rng.uniform()
    direction = rng.normal(size=3)
    centre = half * rng.uniform(0.2, 0.6) * direction / np.linalg.norm(direction)
    radius_mm = rng.uniform(19, 30)
    core = rng.uniform(0.6, 0.75)
    dead = rng.uniform(0.6, 0.75)
    # The inner borders have a shape of their own and are steeper: nested, and not parallel.
    outer, inner = 0.16 * _field(rng, 4), 0.10 * _field(rng, 3)
    if kind < _HEALTHY_SHARE:
        return
    x, y, z = _grid()
    distance = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2) / radius_mm
    distance = distance + outer
    depth = distance / core + inner
    brain = (tissues != Tissue.OUTSIDE) & (tissues != Tissue.FLUID)
    tissues[brain & (distance < 1)] = Tissue.EDEMA
    solid = (tissues != Tissue.OUTSIDE) & (distance < 1) & (depth < 1)
    tissues[solid] = Tissue.CORE
    if kind >= _HEALTHY_SHARE + _LOW_GRADE_SHARE:
        tissues[solid & (depth > dead)] = Tissue.ENHANCING


def _grid() -> tuple[NDArray[np.float64], ...]:
    """Return x, y and z of the voxels' centres in millimetres, 0 in the middle, ready to broadcast."""
    axes = [(np.arange(side) - (side - 1) / 2) * SPACING_MM for side in SHAPE]
    return np.meshgrid(*axes, indexing="ij", sparse=True)


def _field(rng: np.random.Generator, smooth: float) -> NDArray[np.float64]:
    """Return a random field of mean 0 and standard deviation 1, smooth over as many voxels."""
    field = gaussian_filter(rng.normal(size=SHAPE), smooth, mode="wrap", truncate=3)
    normed: NDArray[np.float64] = (field - field.mean()) / field.std()
    return normed


def _ellipsoid(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    z: NDArray[np.float64],
    half: tuple[float, float, float],
    uneven: NDArray[np.float64] | float = 0.0,
) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (x / half[0]) ** 2 + (y / half[1]) ** 2 + (z / half[2]) ** 2 + uneven < 1
    return inside
