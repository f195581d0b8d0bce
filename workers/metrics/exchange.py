"""A test of two models' AUROCs that holds with few cases: in some patients, each gets the other's scores.

A. I. Bandos, H. E. Rockette and D. Gur, "A permutation test sensitive to differences in areas for comparing
ROC curves from a paired design", Statistics in Medicine 24 (2005) 2873-2893. Between models that are equally
good the exchange changes nothing but by chance. All images of a patient are exchanged together.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.metrics.ranks import mid_ranks

EXCHANGES: Final = 4999
"""Drawn by a fixed seed: p is 1 in 5,000 at least."""

_DRAWN: Final = 100
"""Patients for whom it is drawn, those who count most; what many others add is normal."""


def exchange_p(
    truth: NDArray[np.bool_], a: NDArray[np.float64], b: NDArray[np.float64], patients: NDArray[np.intp]
) -> float:
    """Return the two-sided p of the difference of the AUROCs of scores `a` and `b` (N,) for truth (N,).

    Both classes occur; `patients` (N,) are numbers from 0. Scores count as ranks among the model's own, so
    the two models need no common scale.
    """
    parts = _parts(truth, mid_ranks(a), mid_ranks(b), patients)
    found = abs(float(parts.sum()))
    rising = np.sort(np.abs(parts))
    others, largest = rising[:-_DRAWN], rising[-_DRAWN:]
    random = np.random.default_rng(0)
    kept = random.integers(0, 2, (EXCHANGES, largest.size), dtype=np.int8).astype(np.float64)
    drawn = 2 * (kept @ largest) - largest.sum()
    if others.any():
        drawn += random.normal(scale=float((others * others).sum()) ** 0.5, size=EXCHANGES)
    # Sums that are equal may differ by their rounding.
    as_far = np.abs(drawn) >= found - 1e-9 * rising[-1]
    return (1 + int(np.count_nonzero(as_far))) / (1 + EXCHANGES)


def _parts(
    truth: NDArray[np.bool_], a: NDArray[np.float64], b: NDArray[np.float64], patients: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return what each patient (P,) adds to the difference a - b; to exchange its scores turns the sign.

    An image's part is its placement by `a` less that by `b`, each among the other class' scores by both. The
    exchange of any images moves a pair's share of the difference by those of its two images: all parts and
    their signs add up to the difference after it.
    """
    above, below = (np.concatenate([a[of], b[of]]) for of in (truth, ~truth))
    of_positive = _placed(below, a[truth]) - _placed(below, b[truth])
    of_negative = _placed(above, b[~truth]) - _placed(above, a[~truth])
    size = int(patients.max()) + 1
    return np.bincount(patients[truth], of_positive, size) / of_positive.size + (
        np.bincount(patients[~truth], of_negative, size) / of_negative.size
    )


def _placed(among: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of `among` (M,) that lies below each score (N,); equal ones count half."""
    ordered = np.sort(among)
    places = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    placed: NDArray[np.float64] = places / (2 * ordered.size)
    return placed
