"""The area under the ROC curve and its interval, computed from a finding's finished scores.

E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, "Comparing the areas under two or more correlated
receiver operating characteristic curves: a nonparametric approach", Biometrics 44 (1988) 837-845, by the
mid-ranks of X. Sun and W. Xu, "Fast implementation of DeLong's algorithm for comparing the areas under
correlated receiver operating characteristic curves", IEEE Signal Processing Letters 21 (2014) 1389-1393.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Auroc:
    """An area under the ROC curve with its interval; a figure that the labels do not define is None.

    All figures need both classes; `ci_low`, `ci_high` and `variance` need two images of each.
    """

    auroc: float | None
    ci_low: float | None
    ci_high: float | None
    n_positive: int
    n_negative: int
    variance: float | None


@dataclass(frozen=True, slots=True)
class Placements:
    """The structural components of an AUROC, float64 in [0, 1], in the images' order.

    `positive` (m,): for each positive image the share of negatives with a lower score. `negative` (n,):
    for each negative image the share of positives with a higher one. Ties count half. The mean of either
    is the AUROC; the covariances between two models' components on the same images are what a paired
    comparison of their AUROCs needs.
    """

    positive: NDArray[np.float64]
    negative: NDArray[np.float64]


def placements(labels: NDArray[np.generic], scores: NDArray[np.generic]) -> Placements:
    """Return the structural components for labels (N,) of 0 and 1 and real scores (N,), in O(N log N).

    Raises ValueError for other shapes, for other labels, for a NaN score, and where a class is missing.
    """
    positive = _positives(labels, scores)
    n_positive = int(np.count_nonzero(positive))
    n_negative = positive.size - n_positive
    if not n_positive or not n_negative:
        raise ValueError("placements need a positive and a negative image")
    # One sort: the images of a class below a score, and those up to it, halve its ties among them.
    order = np.argsort(scores)
    rising = scores[order]
    first_of_equals = np.append(True, rising[1:] != rising[:-1])
    starts = np.append(np.flatnonzero(first_of_equals), rising.size)
    positives_before = np.append(0, np.cumsum(positive[order]))[starts]
    negatives_before = starts - positives_before
    group = np.empty(scores.size, dtype=np.intp)
    group[order] = np.cumsum(first_of_equals) - 1
    negatives_below = (negatives_before[:-1] + negatives_before[1:]) / 2
    positives_below = (positives_before[:-1] + positives_before[1:]) / 2
    return Placements(
        negatives_below[group[positive]] / n_negative, 1 - positives_below[group[~positive]] / n_positive
    )


def delong(labels: NDArray[np.generic], scores: NDArray[np.generic], confidence: float = 0.95) -> Auroc:
    """Return the AUROC of real scores (N,) for labels (N,) of 0 and 1, with DeLong's interval.

    `confidence` is the interval's coverage, 0.95 as in most papers (the course's is 0.90). The interval
    is the normal one cut to [0, 1], as by default in R's pROC; classes that are perfectly separated, or
    scores that are all equal, have a variance of 0 and so an interval without width. It covers too little
    with few images of a class, near 0 and 1, and where images share a patient: `auroc_interval` does not.
    Raises ValueError for other shapes, labels or confidences and for a NaN score.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, not between 0 and 1")
    positive = _positives(labels, scores)
    m = int(np.count_nonzero(positive))
    n = positive.size - m
    if not m or not n:
        return Auroc(None, None, None, m, n, None)
    components = placements(labels, scores)
    auroc = float(components.positive.mean())
    if m == 1 or n == 1:
        return Auroc(auroc, None, None, m, n, None)
    variance = float(components.positive.var(ddof=1) / m + components.negative.var(ddof=1) / n)
    half_width = NormalDist().inv_cdf((1 + confidence) / 2) * variance**0.5
    return Auroc(auroc, max(0.0, auroc - half_width), min(1.0, auroc + half_width), m, n, variance)


def _positives(labels: NDArray[np.generic], scores: NDArray[np.generic]) -> NDArray[np.bool_]:
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise ValueError(f"labels {labels.shape} and scores {scores.shape} are not two vectors of one length")
    positive: NDArray[np.bool_] = labels == 1
    if not np.all(positive | (labels == 0)):
        raise ValueError("a label is neither 0 nor 1")
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
    return positive
