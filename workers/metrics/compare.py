"""Whether two models that scored the same images detect a finding equally well.

The paired test of DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837-845, clustered by patient as by
N. A. Obuchowski, Biometrics 53 (1997) 567-578, with few cases that by exchange of the two models' scores, and
the correction of S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
Statistics 6 (1979) 65-70.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, isnan
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from workers.metrics.auroc import placements
from workers.metrics.exchange import exchange_p
from workers.metrics.interval import MANY_CASES
from workers.metrics.patients import Clusters
from workers.metrics.ranks import mid_ranks
from workers.metrics.thresholds import known_images, missing_class

Test = Literal["delong", "obuchowski", "exchange"]
"""Which test gave the p of a comparison."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference of two AUROCs on the same images, a - b; what is not defined is None, see `reason`.

    `variance`: of the difference, and `z`: in its standard errors, None if that is 0. `p`: two-sided, by the
    `test`. A difference without variance has no interval, unless the two models rank all images alike.
    """

    n_positive: int
    n_negative: int
    auroc_a: float | None = None
    auroc_b: float | None = None
    difference: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    variance: float | None = None
    z: float | None = None
    p: float | None = None
    test: Test | None = None
    reason: str | None = None


def compare_aurocs(
    labels: NDArray[np.generic],
    a: NDArray[np.generic],
    b: NDArray[np.generic],
    confidence: float = 0.95,
    patients: NDArray[np.intp] | None = None,
) -> Comparison:
    """Compare the real scores `a` (N,) and `b` (N,) of the images with labels (N,), by a paired test.

    `labels` are 1, 0, or -1 or NaN for unknown, left out. `patients` (N,): numbers from 0; without them, and
    where each has one image, the test is DeLong's. Where a patient has several it is Obuchowski's, with
    Student's t in place of the normal distribution, since patients may be few: their degrees of freedom are
    Welch's, of the two classes. With fewer than MANY_CASES, as `Interval` counts them, p is by exchange.
    `confidence` is the coverage of the difference's interval, cut to [-1, 1].
    Raises ValueError for other shapes, for another label, and for a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, not between 0 and 1")
    truth, (of_a, of_b), reason = known_images(labels, a, b)
    m = int(np.count_nonzero(truth))
    n = truth.size - m
    reason = reason or missing_class(truth)
    if reason:
        return Comparison(m, n, reason=reason)
    first, second = placements(truth.astype(np.int8), of_a), placements(truth.astype(np.int8), of_b)
    # Twice a placement times the other class' images is a whole number: with these, equal differences have a
    # variance of exactly 0, and none of 1e-33. Both are in units of 1 / (2 m n).
    unit = 2 * m * n
    positive = np.rint(2 * n * (first.positive - second.positive)) * m
    negative = np.rint(2 * m * (first.negative - second.negative)) * n
    difference = float(positive.mean()) / unit
    auroc_a, auroc_b = float(first.positive.mean()), float(second.positive.mean())
    found = Comparison(m, n, auroc_a, auroc_b, difference)
    if m == 1 or n == 1:
        return replace(found, reason="a class has a single image")
    whose = np.arange(truth.size) if patients is None else patients[(labels == 0) | (labels == 1)]
    clusters = Clusters.of(truth, whose)
    influence = clusters.influence(positive, negative)
    scaled = influence.variance()
    if scaled is None:
        return replace(found, reason="the images of a class are of one patient")
    # A sum that cancels may be a hair below 0.
    error = max(0.0, scaled) ** 0.5 / unit
    freedom = influence.freedom() if clusters.either < truth.size else inf
    area = (auroc_a + auroc_b) / 2
    test: Test
    if not error or min(clusters.positive, clusters.negative) * min(area, 1 - area) < MANY_CASES:
        test, p = "exchange", exchange_p(truth, of_a, of_b, whose)
    else:
        test = "delong" if freedom == inf else "obuchowski"
        p = float(2 * stdtr(freedom, -abs(difference) / error))
    low = high = None
    if error or np.array_equal(mid_ranks(of_a), mid_ranks(of_b)):
        half_width = float(stdtrit(freedom, (1 + confidence) / 2)) * error
        low, high = max(-1.0, difference - half_width), min(1.0, difference + half_width)
    else:
        reason = "the difference has no variance: no interval"
    z = difference / error if error else None
    return replace(found, ci_low=low, ci_high=high, variance=error**2, z=z, p=p, test=test, reason=reason)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct the p values of one comparison's findings; None and NaN give None and do not count as tests."""
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None and not isnan(p))
    corrected: list[float | None] = [None] * len(p_values)
    least = 0.0
    for rank, (p, index) in enumerate(tested):
        least = max(least, p * (len(tested) - rank))
        corrected[index] = min(1.0, least)
    return corrected
