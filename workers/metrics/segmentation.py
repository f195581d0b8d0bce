"""How well a segmentation agrees with a reference, and how large and where it is; arrays are (x, y, z).

A figure that is not defined is None, and the reason says why: never the 1 that the course's epsilon makes of
two empty masks.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, center_of_mass, distance_transform_edt, find_objects, label

Mask = NDArray[np.bool_]

COURSE_EPSILON: Final = 1e-5
"""What the course AI for Medicine adds to numerator and denominator of its Dice coefficients."""

_MM3_PER_ML: Final = 1000.0
_PERCENTILE: Final = 95
_TOUCHING: Final = np.ones((3, 3, 3), dtype=bool)
"""Voxels that share a corner belong to one component."""


class Undefined(StrEnum):
    """Why some of an agreement's figures are None."""

    NO_REFERENCE = "no_reference"
    """Nothing in the reference: sensitivity and distances are undefined; Dice is 0."""
    NO_PREDICTION = "no_prediction"
    """Nothing was predicted: distances are undefined; Dice and sensitivity are 0."""
    NEITHER = "neither"
    """Nothing in either: only specificity is defined."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a prediction agrees with a reference; `undefined` says why figures are None, if any are."""

    dice: float | None
    soft_dice: float | None
    sensitivity: float | None
    specificity: float | None
    hd95_mm: float | None
    assd_mm: float | None
    undefined: Undefined | None


@dataclass(frozen=True, slots=True)
class Extent:
    """How large a mask is and where; box and centroid are None where it is empty.

    `box`: the first and the last voxel along x, y and z, both inside. `centroid_mm`: in the affine's world.
    """

    voxels: int
    ml: float
    components: int
    largest_ml: float
    box: tuple[tuple[int, int, int], tuple[int, int, int]] | None
    centroid_mm: tuple[float, float, float] | None


def compare_masks(
    reference: Mask,
    prediction: Mask,
    spacing_mm: tuple[float, float, float],
    probabilities: NDArray[np.floating[Any]] | None = None,
) -> Agreement:
    """Compare two masks (x, y, z); `probabilities`, of the same shape, are what soft Dice is of."""
    there, found = bool(reference.any()), bool(prediction.any())
    sensitivity, specificity = sensitivity_specificity(reference, prediction)
    hd95, assd = surface_figures(reference, prediction, spacing_mm) if there and found else (None, None)
    reasons = {
        (True, True): None,
        (True, False): Undefined.NO_PREDICTION,
        (False, True): Undefined.NO_REFERENCE,
        (False, False): Undefined.NEITHER,
    }
    return Agreement(
        dice=dice(reference, prediction),
        soft_dice=soft_dice(reference, probabilities) if there and probabilities is not None else None,
        sensitivity=sensitivity,
        specificity=specificity,
        hd95_mm=hd95,
        assd_mm=assd,
        undefined=reasons[there, found],
    )


def dice(reference: Mask, prediction: Mask, epsilon: float = 0.0) -> float | None:
    """Return 2|A ∩ B| / (|A| + |B|) (Dice 1945), None where both are empty and `epsilon` is 0.

    `epsilon` is added to numerator and denominator, as the course does.
    """
    both = int(np.count_nonzero(reference & prediction))
    sizes = int(np.count_nonzero(reference)) + int(np.count_nonzero(prediction))
    return _ratio(2 * both + epsilon, sizes + epsilon)


def soft_dice(
    reference: NDArray[Any], probabilities: NDArray[np.floating[Any]], epsilon: float = COURSE_EPSILON
) -> float | None:
    """Return (2 Σyp + ε) / (Σy² + Σp² + ε) (Milletari et al., 3DV 2016), None where that is 0 / 0.

    The loss that the course trains with is 1 minus the mean of the classes.
    """
    y, p = reference.ravel(), probabilities.ravel()
    both, of_y, of_p = (_dot(a, b) for a, b in ((y, p), (y, y), (p, p)))
    return _ratio(2 * both + epsilon, of_y + of_p + epsilon)


def sensitivity_specificity(reference: Mask, prediction: Mask) -> tuple[float | None, float | None]:
    """Return TP / (TP + FN) and TN / (TN + FP) of voxels, None where the class is not in the reference."""
    positive = int(np.count_nonzero(reference))
    hits = int(np.count_nonzero(reference & prediction))
    alarms = int(np.count_nonzero(prediction)) - hits
    negative = reference.size - positive
    return _ratio(hits, positive), _ratio(negative - alarms, negative)


def surface_figures(
    reference: Mask, prediction: Mask, spacing_mm: tuple[float, float, float]
) -> tuple[float, float]:
    """Return HD95 and ASSD in mm of two masks that are not empty.

    A surface is made of the mask's voxels with a face next to a voxel outside; the volume's edge is outside.
    HD95 is the larger of the two 95th percentiles of the distances from one surface to the other; ASSD is
    the mean of all distances in both directions (Taha and Hanbury, BMC Medical Imaging 2015).
    """
    [box] = find_objects((reference | prediction).astype(np.int8))
    surfaces = [mask & ~binary_erosion(mask) for mask in (reference[box], prediction[box])]
    here, there = surfaces
    to_there = distance_transform_edt(~there, sampling=spacing_mm)[here]
    to_here = distance_transform_edt(~here, sampling=spacing_mm)[there]
    hd95 = max(float(np.percentile(distances, _PERCENTILE)) for distances in (to_there, to_here))
    return hd95, float(np.concatenate([to_there, to_here]).mean())


def extent(mask: Mask, affine: NDArray[np.float64]) -> Extent:
    """Measure a mask; `affine` (4, 4) turns voxels into millimetres, as a NIfTI header has it."""
    ml_per_voxel = abs(float(np.linalg.det(affine[:3, :3]))) / _MM3_PER_ML
    voxels = int(np.count_nonzero(mask))
    if not voxels:
        return Extent(0, 0.0, 0, 0.0, None, None)
    [box] = find_objects(mask.astype(np.int8))
    inside = mask[box]
    parts, count = label(inside, structure=_TOUCHING)
    largest = int(np.bincount(parts.ravel())[1:].max())
    centre = np.array(center_of_mass(inside)) + [axis.start for axis in box]
    x, y, z = (affine[:3, :3] @ centre + affine[:3, 3]).tolist()
    return Extent(
        voxels=voxels,
        ml=voxels * ml_per_voxel,
        components=int(count),
        largest_ml=largest * ml_per_voxel,
        box=(
            (box[0].start, box[1].start, box[2].start),
            (box[0].stop - 1, box[1].stop - 1, box[2].stop - 1),
        ),
        centroid_mm=(x, y, z),
    )


def spacing_of(affine: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the distances in mm between voxels along x, y and z."""
    x, y, z = np.linalg.norm(affine[:3, :3], axis=0).tolist()
    return x, y, z


def _dot(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return Σab in double precision, without a copy of a whole volume in it."""
    return float(np.einsum("i,i->", a, b, dtype=np.float64))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
