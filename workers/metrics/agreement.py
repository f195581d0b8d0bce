"""How far readers agree beyond chance: Cohen's kappa of two, Fleiss' kappa of several.

J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20 (1960)
37-46, with the large-sample variance of J. L. Fleiss, J. Cohen and B. S. Everitt, Psychological Bulletin 72
(1969) 323-327; J. L. Fleiss, "Measuring nominal scale agreement among many raters", Psychological Bulletin
76 (1971) 378-382, with an interval by the jackknife. Where a patient has several images, both intervals are
by the jackknife over patients, whose images are left out together; else images count as independent.
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


def cohen_kappa(
    first: NDArray[np.bool_], second: NDArray[np.bool_], patients: NDArray[np.int64] | None = None
) -> Kappa:
    """Return Cohen's kappa of two readers' labels (N,) of the same images.

    `patients` (N,): theirs, if known.
    """
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
    if patients is not None and len(np.unique(patients)) < images:
        return _jackknifed(images, kappa, _cohen_without_each(first, second, patients))
    agreeing = np.diag(shares) * (1 - (rows + columns) * (1 - kappa)) ** 2
    others = shares * (columns[:, np.newaxis] + rows) ** 2
    differing = (others.sum() - np.trace(others)) * (1 - kappa) ** 2
    variance = (agreeing.sum() + differing - (kappa - chance * (1 - kappa)) ** 2) / (1 - chance) ** 2 / images
    return _with_interval(images, kappa, sqrt(max(float(variance), 0.0)))


def fleiss_kappa(
    positive: NDArray[np.int64], readers: int, patients: NDArray[np.int64] | None = None
) -> Kappa:
    """Return Fleiss' kappa of images (N,), each with as many readers, of whom `positive` gave the label.

    `patients` (N,): theirs, if known.
    """
    images = positive.size
    if not images or readers <= 1:
        return Kappa(images, reason="no image was read by two")
    pairs = positive * (positive - 1) + (readers - positive) * (readers - positive - 1)
    agreeing = pairs / (readers * (readers - 1))
    kappa = _fleiss(agreeing.sum(), positive.sum(), np.asarray(float(images)), readers)
    if np.isnan(kappa):
        return Kappa(images, reason="all labels are alike")
    if images == 1:
        return Kappa(1, float(kappa), reason="an interval needs two images")
    _, patient = np.unique(np.arange(images) if patients is None else patients, return_inverse=True)

    def without_each(values: NDArray[np.float64]) -> NDArray[np.float64]:
        left: NDArray[np.float64] = values.sum() - np.bincount(patient, weights=values)
        return left

    left = _fleiss(
        without_each(agreeing), without_each(positive.astype(float)), without_each(np.ones(images)), readers
    )
    return _jackknifed(images, float(kappa), left)


def _jackknifed(images: int, kappa: float, left: NDArray[np.float64]) -> Kappa:
    """Return a kappa with the interval that the kappas without each patient (P,) give it."""
    if left.size == 1:
        return Kappa(images, kappa, reason="an interval needs two patients")
    if np.isnan(left).any():
        return Kappa(images, kappa, reason="one image or patient alone makes the difference")
    error = sqrt((left.size - 1) / left.size * float(((left - left.mean()) ** 2).sum()))
    return _with_interval(images, kappa, error)


def _cohen_without_each(
    first: NDArray[np.bool_], second: NDArray[np.bool_], patients: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return Cohen's kappa without each patient (P,); NaN where all other labels are alike."""
    names, patient = np.unique(patients, return_inverse=True)
    cells = np.bincount(4 * patient + 2 * first + second, minlength=4 * names.size).reshape(-1, 2, 2)
    left = cells.sum(axis=0) - cells
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = left / left.sum(axis=(1, 2), keepdims=True)
        chance = (shares.sum(axis=1) * shares.sum(axis=2)).sum(axis=1)
        agreed = shares[:, 0, 0] + shares[:, 1, 1]
        kappa: NDArray[np.float64] = np.where(chance < 1, (agreed - chance) / (1 - chance), np.nan)
    return kappa


def _fleiss(
    agreeing: NDArray[np.float64],
    positive: NDArray[np.float64],
    images: NDArray[np.float64],
    readers: int,
) -> NDArray[np.float64]:
    """Return kappa from sums over images; NaN where all labels are alike, or there is no image."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = positive / (images * readers)
        chance = share**2 + (1 - share) ** 2
        kappa: NDArray[np.float64] = np.where(chance < 1, (agreeing / images - chance) / (1 - chance), np.nan)
    return kappa


def _with_interval(images: int, kappa: float, error: float) -> Kappa:
    return Kappa(images, kappa, max(kappa - _Z * error, -1.0), min(kappa + _Z * error, 1.0))
