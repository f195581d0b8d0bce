"""Whether a probability means what it says, and what to do where it does not.

J. C. Platt, "Probabilistic outputs for support vector machines and comparisons to regularized likelihood
methods", Advances in Large Margin Classifiers, MIT Press (1999) 61-74.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from workers.metrics.shares import Bounds, clustered_wilson
from workers.metrics.thresholds import known_images, missing_class

BINS: Final = 20
"""Of equal width, of which the expected error is the mean."""

_FEWEST: Final = 10
"""Images in a bin that is shown, at least, where there are as many."""

_MOST_SHOWN: Final = 10

# The step of float32 below 1: a network cannot say more, and the logit of 0 or 1 is infinite.
_CLOSEST: Final = 2.0**-24


@dataclass(frozen=True, slots=True)
class Bin:
    """The images with lower <= p < upper, in the last bin p <= upper; there is at least one."""

    lower: float
    upper: float
    n: int
    mean_probability: float
    observed: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far probabilities are from observed shares; without a labelled image, or with a NaN, all is None.

    `brier`: the mean squared distance of probability and label. `expected_error`: the mean over 20 bins of
    equal width of |observed share - mean probability|, weighted by their images. `bins`: up to ten that hold
    equally many images, ten or more where there are as many; equal probabilities are in one bin. `bin_of`
    (n,): that of each labelled image.
    """

    brier: float | None
    expected_error: float | None
    bins: tuple[Bin, ...]
    reason: str | None = None
    bin_of: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Platt:
    """Platt's calibration: logit of the calibrated probability = slope * logit(p) + intercept."""

    slope: float | None
    intercept: float | None
    n_positive: int
    n_negative: int
    reason: str | None = None


def calibrate(labels: NDArray[np.generic], probabilities: NDArray[np.generic]) -> Calibration:
    """Compare probabilities (N,) with labels (N,): 1, 0, or -1 or NaN for unknown, left out.

    Raises ValueError for other shapes, for another label, and for a probability outside [0, 1].
    """
    truth, (p,), reason = known_images(labels, probabilities)
    if reason:
        return Calibration(None, None, (), reason)
    _require_probabilities(p)
    wide = np.minimum((np.arange(BINS + 1) / BINS).searchsorted(p, side="right") - 1, BINS - 1)
    apart = np.bincount(wide, weights=truth - p, minlength=BINS)
    edges, index = _quantiles(p)
    counts = np.bincount(index)
    means = np.bincount(index, weights=p) / counts
    observed = np.bincount(index, weights=truth) / counts
    return Calibration(
        brier=float(((p - truth) ** 2).mean()),
        expected_error=float(np.abs(apart).sum() / truth.size),
        bins=tuple(
            Bin(float(lower), float(upper), int(n), float(mean), float(share))
            for lower, upper, n, mean, share in zip(
                edges[:-1], edges[1:], counts, means, observed, strict=True
            )
        ),
        bin_of=index,
    )


def bin_intervals(
    labels: NDArray[np.generic], calibration: Calibration, patients: NDArray[np.intp]
) -> list[Bounds]:
    """Return the 95% interval of each bin's observed share, by patient: Wilson's, see `clustered_wilson`.

    `calibration` is that of the labels (N,), and `patients` (N,) are numbers from 0.
    """
    known = (labels == 0) | (labels == 1)
    truth, whose = labels[known] == 1, patients[known]
    if not calibration.bins:
        return []
    # Each pair of a patient and a bin once, in the bins' order.
    many = 1 + int(whose.max())
    pairs, of_image = np.unique(calibration.bin_of * many + whose, return_inverse=True)
    wholes, parts = np.bincount(of_image), np.bincount(of_image[truth], minlength=pairs.size)
    starts = np.searchsorted(pairs // many, np.arange(len(calibration.bins) + 1))
    return [clustered_wilson(parts[start:end], wholes[start:end]) for start, end in pairwise(starts)]


def fit_platt(labels: NDArray[np.generic], probabilities: NDArray[np.generic]) -> Platt:
    """Fit the logistic regression of the labels on the probabilities' logits, as `calibrate` takes them.

    Without a penalty, on Platt's targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) instead of 1 and 0: so the fit
    is finite also where the classes are perfectly separated. A probability closer than 2^-24 to 0 or 1 is
    taken as that close. No fit, with the reason, where a class is missing or all probabilities are equal.
    Raises ValueError for other shapes, for another label, and for a probability outside [0, 1].
    """
    truth, (p,), reason = known_images(labels, probabilities)
    n_positive = int(np.count_nonzero(truth))
    n_negative = truth.size - n_positive
    reason = reason or missing_class(truth)
    if reason:
        return Platt(None, None, n_positive, n_negative, reason)
    _require_probabilities(p)
    x = _logits(p)
    if x.min() == x.max():
        return Platt(None, None, n_positive, n_negative, "all probabilities are equal")
    target = np.where(truth, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    slope, intercept = _logistic_regression(x, target)
    return Platt(slope, intercept, n_positive, n_negative)


def _logistic_regression(x: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[float, float]:
    """Return the slope and intercept of x (N,) that fit targets (N,), shares, best.

    A library that takes only labels needs each image twice, with weights, and takes twice as long.
    """

    def loss(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = line[0] * x + line[1]
        off = expit(z) - target
        # log(1 + exp z); NumPy's logaddexp takes four times as long.
        cost = np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))) - target * z
        return float(cost.mean()), np.array([off @ x, off.sum()]) / x.size

    def bend(line: NDArray[np.float64]) -> NDArray[np.float64]:
        share = expit(line[0] * x + line[1])
        weights = share * (1 - share) / x.size
        mixed = weights @ x
        return np.array([[weights @ (x * x), mixed], [mixed, weights.sum()]])

    fit = minimize(loss, np.zeros(2), jac=True, hess=bend, method="trust-exact", options={"gtol": 1e-10})
    return float(fit.x[0]), float(fit.x[1])


def _quantiles(p: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the edges (bins + 1,) of bins that hold equally many probabilities, and the bin of each (N,).

    An edge is a probability that occurs, so that no bin is empty, and SQL puts an image into the same bin.
    """
    ordered = np.sort(p)
    bins = min(_MOST_SHOWN, max(1, p.size // _FEWEST))
    starts = ordered[np.arange(1, bins) * p.size // bins]
    edges = np.unique(np.concatenate([[0.0], starts[starts > ordered[0]], [1.0]]))
    return edges, np.minimum(np.searchsorted(edges, p, side="right") - 1, edges.size - 2)


def _logits(p: NDArray[np.float64]) -> NDArray[np.float64]:
    logits: NDArray[np.float64] = logit(np.clip(p, _CLOSEST, 1 - _CLOSEST))
    return logits


def _require_probabilities(p: NDArray[np.float64]) -> None:
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError("a probability is outside [0, 1]")
