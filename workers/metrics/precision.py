"""The average precision, the step-wise area under the precision-recall curve, with an interval by patient.

The variance is that of the patients' influence on the figure. With few cases it is drawn towards that of a
share of the positive images, as K. Boyd, K. H. Eng and C. D. Page found to cover best ("Area under the
precision-recall curve: point estimates and confidence intervals", ECML PKDD 2013, 451-466), and the interval
is Wilson's, which has a width also where every image is ranked right.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.metrics.patients import Clusters, effective_number, likeness
from workers.metrics.shares import wilson

ENOUGH: Final = 10
"""Positive images that the interval needs: with fewer it covers too little, see docs/statistics.md."""

# In positive images times the share that is wrong, or right if that is less: data and model count alike.
_HALF_TRUSTED: Final = 6


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """The figure with its 95% interval; what the images do not define is None."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


def average_precision(
    truth: NDArray[np.bool_], scores: NDArray[np.float64], patients: NDArray[np.intp]
) -> AveragePrecision:
    """Return that of real scores (N,) for truth (N,), of images of patients with the numbers (N,).

    The interval is for archives with the same share of positive images. There is none without a negative
    image, where a class is of one patient, and with fewer than ENOUGH positive images.
    """
    if not truth.any():
        return AveragePrecision()
    value, positive, negative = _influences(truth, scores)
    if truth.all():
        return AveragePrecision(value)
    clusters = Clusters.of(truth, patients)
    variance = clusters.influence(positive, negative).variance()
    if positive.size < ENOUGH or variance is None:
        return AveragePrecision(value)
    worth = effective_number(clusters.of_positive, likeness(truth, scores, clusters))
    spread = value * (1 - value)
    if spread > 0 and variance > 0:
        cases = worth * min(value, 1 - value)
        worth *= (spread / worth / variance) ** (cases / (cases + _HALF_TRUSTED))
    return AveragePrecision(value, *wilson(value * worth, worth))


def _influences(
    truth: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return the average precision, and what each positive (m,) and negative image (n,) adds to it.

    The figure is the mean over the positive images of pS / (pS + (1 - p)F), with the shares S of the positive
    and F of the negative images that score as high, and p of positive images. An image moves it by its own
    precision, and by all of the precisions at scores up to its own that it is counted in.
    """
    order = np.argsort(-scores)
    falling = scores[order]
    last_of_equals = np.append(falling[1:] != falling[:-1], True)
    ends = np.flatnonzero(last_of_equals)
    group = np.empty(scores.size, dtype=np.intp)
    group[order] = np.append(0, np.cumsum(last_of_equals)[:-1])
    hits = np.cumsum(truth[order])[ends]
    called = ends + 1
    precision = hits / called
    size, positives = truth.size, int(hits[-1])
    share = positives / size
    weight = np.diff(hits, prepend=0) / positives
    above, below = hits / size, (called - hits) / size
    steepness = weight / (above + below) ** 2

    def up_to(of_group: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over the groups with this score or a lower one."""
        summed: NDArray[np.float64] = np.cumsum(of_group[::-1])[::-1]
        return summed

    positive = (precision + up_to(share * below * steepness))[group[truth]]
    negative = -up_to((1 - share) * above * steepness)[group[~truth]]
    # A sum of shares may be a hair above 1.
    return min(1.0, float((precision * weight).sum())), positive, negative
