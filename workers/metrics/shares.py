"""The interval of a share of images, such as the sensitivity: Wilson's, by patient.

E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
Statistical Association 22 (1927) 209-212; L. Kish, "Survey Sampling", Wiley (1965), for the design effect.
"""

from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

_Z: Final = float(-ndtri(0.025))

# Few patients say little of how alike their images are: as much as so many who are fully alike is added.
_ALIKE: Final = 10

Bounds = tuple[float | None, float | None]


def wilson(part: float, whole: float) -> Bounds:
    """Return Wilson's 95% interval of `part` out of `whole`; (None, None) for nothing out of nothing."""
    if not whole:
        return None, None
    share, square = part / whole, _Z**2
    widened = 1 + square / whole
    centre = (share + square / (2 * whole)) / widened
    half = _Z * sqrt(share * (1 - share) / whole + square / (4 * whole**2)) / widened
    # Rounding leaves the bound of none or of all a hair inside its share.
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


def clustered_wilson(parts: NDArray[np.int64], wholes: NDArray[np.int64]) -> Bounds:
    """Return Wilson's 95% interval of a share of images, for as many independent ones as they are worth.

    `parts` (K,) out of `wholes` (K,): each patient's images.
    """
    part, whole = int(parts.sum()), int(wholes.sum())
    worth = independent(parts, wholes)
    return wilson(part if worth == whole else part / whole * worth, worth)


def independent(parts: NDArray[np.int64], wholes: NDArray[np.int64]) -> float:
    """Return how many independent images are worth as much as these, as `clustered_wilson` takes them.

    How alike they are is the correlation of two images of a patient, drawn towards 1 with few patients, and 1
    where the share is 0 or 1.
    """
    part, whole = int(parts.sum()), int(wholes.sum())
    pairs = int((wholes * (wholes - 1)).sum())
    if not pairs:
        return whole
    share = part / whole
    spread = share * (1 - share)
    alike = 1.0
    if spread:
        apart = parts - share * wholes
        alike = min(1.0, max(0.0, (float((apart * apart).sum()) - whole * spread) / (pairs * spread)))
        patients = int(np.count_nonzero(wholes))
        alike = (patients * alike + _ALIKE) / (patients + _ALIKE)
    return whole / (1 + alike * pairs / whole)
