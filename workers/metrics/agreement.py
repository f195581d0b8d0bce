"""How far readers agree beyond chance: Cohen's kappa of two, Fleiss' kappa of several.

J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20 (1960)
37-46, with the large-sample variance of J. L. Fleiss, J. Cohen and B. S. Everitt, Psychological Bulletin 72
(1969) 323-327; J. L. Fleiss, "Measuring nominal scale agreement among many raters", Psychological Bulletin
76 (1971) 378-382, with an interval by the jackknife over images. Images count as independent.
"""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Kappa:
    """A kappa with its 95% interval, over `images`; None, with the `reason`, where it is not defined."""

    images: int
    kappa: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    reason: str | None = None


def cohen_kappa(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Kappa:
    """Return Cohen's kappa of two readers' labels (N,) of the same images."""
    images = first.size
    if not images:
        return Kappa(0, reason="no image was read by both")
    shares = np.array(
        [[np.mean((first == one) & (second == other)) for other in (False, True)] for one in (False, True)]
    )
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    chance = float(rows @ columns)
    if chance >= 1:
        return Kappa(images, reason="all labels are alike")
    kappa = (float(np.trace(shares)) - chance) / (1 - chance)
    agreeing = np.diag(shares) * (1 - (rows + columns) * (1 - kappa)) ** 2
    others = shares * (columns[:, np.newaxis] + rows) ** 2
    differing = (others.sum() - np.trace(others)) * (1 - kappa) ** 2
    variance = (agreeing.sum() + differing - (kappa - chance * (1 - kappa)) ** 2) / (1 - chance) ** 2 / images
    return _with_interval(images, kappa, sqrt(max(float(variance), 0.0)))


def fleiss_kappa(positive: NDArray[np.int64], readers: int) -> Kappa:
    """Return Fleiss' kappa of images (N,), each with as many readers, of whom `positive` gave the label."""
    images = positive.size
    if not images or readers <= 1:
        return Kappa(images, reason="no image was read by two")
    pairs = positive * (positive - 1) + (readers - positive) * (readers - positive - 1)
    agreeing = pairs / (readers * (readers - 1))
    kappa = _fleiss(agreeing.sum(), positive.sum(), images, readers)
    if np.isnan(kappa):
        return Kappa(images, reason="all labels are alike")
    if images == 1:
        return Kappa(1, float(kappa), reason="an interval needs two images")
    left = _fleiss(agreeing.sum() - agreeing, positive.sum() - positive, images - 1, readers)
    if np.isnan(left).any():
        return Kappa(images, float(kappa), reason="one image alone makes the difference")
    error = sqrt((images - 1) / images * float(((left - left.mean()) ** 2).sum()))
    return _with_interval(images, float(kappa), error)


def _fleiss(
    agreeing: NDArray[np.float64], positive: NDArray[np.int64], images: int, readers: int
) -> NDArray[np.float64]:
    """Return kappa from sums over images; NaN where all labels are alike."""
    share = positive / (images * readers)
    chance = share**2 + (1 - share) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa: NDArray[np.float64] = np.where(chance < 1, (agreeing / images - chance) / (1 - chance), np.nan)
    return kappa


def _with_interval(images: int, kappa: float, error: float) -> Kappa:
    return Kappa(images, kappa, max(kappa - _Z * error, -1.0), min(kappa + _Z * error, 1.0))
