"""How far readers agree beyond chance: Cohen's kappa of two, Fleiss' kappa of several.

J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20 (1960)
37-46; J. L. Fleiss, "Measuring nominal scale agreement among many raters", Psychological Bulletin 76 (1971)
378-382. The interval solves for the kappas under whose own variance the one found is not unusual. The
variance has the shape which D. A. Bloch and H. C. Kraemer give it, "2 x 2 kappa coefficients: measures of
agreement or association", Biometrics 45 (1989) 269-287, and the size which a jackknife over patients finds.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

_Z: Final = NormalDist().inv_cdf(0.975)

_HALF_TRUSTED: Final = 3
"""Disagreements, as `_interval` counts them, with which the data's variance and the model's weigh alike."""

_EDGE: Final = 1e-9


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
    patient = _numbered(images, patients)
    left = _cohen_without_each(first, second, patient)
    return _with_interval(images, kappa, left, share=float(first.mean() + second.mean()) / 2, readers=2)


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
    patient = _numbered(images, patients)

    def without_each(values: NDArray[np.float64]) -> NDArray[np.float64]:
        left: NDArray[np.float64] = values.sum() - np.bincount(patient, weights=values)
        return left

    left = _fleiss(
        without_each(agreeing), without_each(positive.astype(float)), without_each(np.ones(images)), readers
    )
    return _with_interval(images, float(kappa), left, share=float(positive.mean()) / readers, readers=readers)


def _numbered(images: int, patients: NDArray[np.int64] | None) -> NDArray[np.intp]:
    """Return each image's patient (N,), numbers from 0 without a gap."""
    numbers: NDArray[np.intp] = np.unique(
        np.arange(images) if patients is None else patients, return_inverse=True
    )[1]
    return numbers


def _with_interval(
    images: int, kappa: float, left: NDArray[np.float64], *, share: float, readers: int
) -> Kappa:
    """Return a kappa with its interval; `left`: without each patient (P,), `share`: of positive readings."""
    if left.size == 1:
        return Kappa(images, kappa, reason="an interval needs two patients")
    # Without the one image that makes a difference kappa is not defined: then the model alone tells.
    variance = (left.size - 1) / left.size * float(((left - left.mean()) ** 2).sum())
    low, high = _interval(kappa, 0.0 if np.isnan(variance) else variance, share, left.size * readers / 2)
    return Kappa(images, kappa, low, high)


def _interval(kappa: float, variance: float, share: float, pairs: float) -> tuple[float, float]:
    """Return the two kappas that lie 1.96 of their own standard errors from the one found.

    `pairs`: of readings. The more disagreements there are, the more of the variance's size is the data's; the
    rest, and all where no two readings differ, is the model's.
    """
    spread = share * (1 - share)

    def model(candidate: float) -> float:
        apart = (1 - candidate) * (1 - 2 * candidate) + candidate * (2 - candidate) / (2 * spread)
        return (1 - candidate) * apart / pairs

    least = -min(share, 1 - share) / max(share, 1 - share)  # of which the model knows
    scale = 1.0
    if variance and least < kappa < 1:
        disagreements = pairs * min(share, 1 - share) * (1 - kappa)
        scale = (variance / model(kappa)) ** (disagreements / (disagreements + _HALF_TRUSTED))

    def excess(candidate: float) -> float:
        return (kappa - candidate) ** 2 - _Z**2 * scale * model(candidate)

    # The model has no variance at either end, so the search for the other bound begins beside it.
    low, high = least if kappa > least else -1.0, max(kappa, least)
    if kappa > least and excess(least) > 0:
        low = float(brentq(excess, least, min(kappa, 1 - _EDGE)))
    if high < 1 - _EDGE and excess(high + _EDGE) < 0:
        high = float(brentq(excess, high + _EDGE, 1.0))
    return low, high


def _cohen_without_each(
    first: NDArray[np.bool_], second: NDArray[np.bool_], patient: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return Cohen's kappa without each patient (P,); NaN where all other labels are alike."""
    cells = np.bincount(4 * patient + 2 * first + second, minlength=4 * (int(patient.max()) + 1))
    cells = cells.reshape(-1, 2, 2)
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
