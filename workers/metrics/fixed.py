"""Sensitivity at a fixed specificity and the reverse, where the threshold is an estimate, too.

The threshold at which the specificity is 0.9 is only known as well as the negative images tell. What follows
from that is added to the sensitivity's own interval by the method of G. Y. Zou and A. Donner, Statistics in
Medicine 27 (2008) 1693-1702: both distances to a bound, as two sides of a right angle.
"""

from dataclasses import dataclass
from math import hypot, sqrt
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from workers.metrics.shares import clustered_wilson, independent
from workers.metrics.thresholds import cuts_of, missing_class

LEVEL: Final = 0.9

_Z: Final = NormalDist().inv_cdf(0.975)

Fixed = Literal["specificity", "sensitivity"]
"""Which of the two is held; the other is the figure."""


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """The figure where the other one is at least the level; None, with the `reason`, where none is.

    `threshold`: p >= threshold is called positive. `low` and `high`: the 95% interval, by patient.
    """

    threshold: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


def at_fixed(
    truth: NDArray[np.bool_],
    scores: NDArray[np.float64],
    patients: NDArray[np.intp],
    fixed: Fixed,
    level: float = LEVEL,
) -> FixedPoint:
    """Return the sensitivity (N images) where `fixed`, the specificity, is at least `level`, or the reverse.

    Of the cuts on a score of these images, that with the best figure. `patients` (N,): numbers from 0.
    """
    reason = missing_class(truth)
    if reason:
        return FixedPoint(reason=reason)
    cuts, hits, false_alarms = cuts_of(truth, scores)
    sensitivity, specificity = hits / hits[-1], 1 - false_alarms / false_alarms[-1]
    held, figure = (specificity, sensitivity) if fixed == "specificity" else (sensitivity, specificity)
    # As cuts fall, the sensitivity rises and the specificity falls.
    rising = fixed == "sensitivity"

    def reached(wanted: float) -> int | None:
        at_least = np.flatnonzero(held >= wanted)
        return None if not at_least.size else int(at_least[0 if rising else -1])

    def value_at(wanted: float, without: float) -> float:
        place = reached(wanted)
        return without if place is None else float(figure[place])

    place = reached(level)
    if place is None:
        return FixedPoint(reason=f"no threshold has a {fixed} of {level}")
    cut, value = float(cuts[place]), float(figure[place])
    called = scores >= cut
    of_figure = ~truth if rising else truth
    right, images = _by_patient(called == truth, of_figure, patients)
    own_low, own_high = clustered_wilson(right, images)
    # Where the level is true, so many images show a share this far from it.
    worth = independent(*_by_patient(called == truth, ~of_figure, patients))
    apart = _Z * sqrt(level * (1 - level) / worth)
    down = value - value_at(level + apart, 0.0)
    up = value_at(level - apart, 1.0) - value
    low = max(0.0, value - hypot(value - (own_low or 0.0), max(0.0, down)))
    high = min(1.0, value + hypot((1.0 if own_high is None else own_high) - value, max(0.0, up)))
    return FixedPoint(cut, value, low, high)


def _by_patient(
    right: NDArray[np.bool_], of_class: NDArray[np.bool_], patients: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count each patient's images of a class: those that are called right, and all."""
    size = int(patients.max()) + 1
    right_ones = np.bincount(patients[of_class & right], minlength=size)
    return right_ones.astype(np.int64), np.bincount(patients[of_class], minlength=size).astype(np.int64)
