"""The AUROC's interval by resampling patients, whose images are not independent draws."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.metrics.patients import number_patients
from workers.metrics.thresholds import known_images, missing_class

# Resamples that lack a class have no AUROC; where more than this share do, the rest is not a fair sample.
_MOST_UNDEFINED: Final = 0.1


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """An AUROC with the percentile interval of its resamples; what is not defined is None, see `reason`.

    `used`: the resamples that hold both classes, of which the interval is computed.
    """

    auroc: float | None
    ci_low: float | None
    ci_high: float | None
    patients: int
    resamples: int
    used: int
    reason: str | None = None


def bootstrap_auroc(
    labels: NDArray[np.generic],
    scores: NDArray[np.generic],
    patients: NDArray[np.generic],
    *,
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Bootstrap:
    """Draw as many patients as there are, with replacement, each with all its images, and take the AUROC.

    `labels` (N,): 1, 0, or -1 or NaN for unknown, left out. `scores` (N,): real. `patients` (N,): whatever
    names a patient; an image where it is None or NaN is a patient of its own. The same arguments give the
    same interval. There is none, with the reason, where a class is missing, there is one patient only, more
    than a tenth of the resamples lack a class, or all resamples have the same area.
    Raises ValueError for other shapes, for another label, without resamples, and for a confidence outside
    (0, 1).
    """
    if patients.shape != labels.shape:
        raise ValueError(f"labels {labels.shape} and patients {patients.shape} do not match")
    if resamples < 1 or not 0 < confidence < 1:
        raise ValueError(f"{resamples} resamples with a confidence of {confidence}")
    truth, (s,), reason = known_images(labels, scores)
    patient = number_patients(patients[(labels == 0) | (labels == 1)]).numbers
    count = int(patient.max(initial=-1)) + 1
    reason = reason or missing_class(truth)
    if reason:
        return Bootstrap(None, None, None, count, resamples, 0, reason)
    # A patient drawn twice has its images counted twice: weights, and no copies. With the negatives in order
    # of their scores, each positive's wins are a running sum of weights, the same places in each resample.
    order = np.argsort(s[~truth])
    negatives, of_negatives = s[~truth][order], patient[~truth][order]
    positives, of_positives = s[truth], patient[truth]
    lower = np.searchsorted(negatives, positives, side="left")
    not_higher = np.searchsorted(negatives, positives, side="right")
    running = np.zeros(negatives.size + 1, dtype=np.int64)

    def auroc(weights: NDArray[np.int64]) -> float:
        np.cumsum(weights[of_negatives], out=running[1:])
        wins = weights[of_positives]
        pairs = 2 * int(wins.sum()) * int(running[-1])
        return int(wins @ (running[lower] + running[not_higher])) / pairs if pairs else np.nan

    area = auroc(np.ones(count, dtype=np.int64))
    if count == 1:
        return Bootstrap(area, None, None, count, resamples, 0, "one patient only")
    rng = np.random.default_rng(seed)
    draws = (np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(resamples))
    areas = np.array([auroc(weights) for weights in draws])
    defined = areas[~np.isnan(areas)]
    if defined.size < (1 - _MOST_UNDEFINED) * resamples:
        reason = f"{resamples - defined.size} of {resamples} resamples lack a class"
        return Bootstrap(area, None, None, count, resamples, defined.size, reason)
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    if low == high:
        # Perfectly separated classes are so in each resample: no width, and no certainty.
        return Bootstrap(
            area, None, None, count, resamples, defined.size, "resamples of these patients do not differ"
        )
    return Bootstrap(area, float(low), float(high), count, resamples, defined.size)
