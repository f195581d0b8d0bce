"""Sensitivity at a fixed specificity and the reverse, where the threshold is an estimate, too.

The threshold at which the specificity is 0.9 is only known as well as the negative images tell. The variance
that follows from that, by the slope of the ROC curve, is added to the sensitivity's own: K. Linnet,
"Comparison of quantitative diagnostic tests: type I error, power, and sample size", Statistics in Medicine 6
(1987) 147-158. The interval is Wilson's, for as many images as have this variance; the share that it counts
with is drawn towards a half, as by X.-H. Zhou and G. Qin, Statistics in Medicine 24 (2005) 465-477.
"""

from dataclasses import dataclass
from math import ceil, sqrt
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from workers.metrics.shares import independent, wilson
from workers.metrics.thresholds import cuts_of, missing_class

LEVEL: Final = 0.9

ENOUGH: Final = 10
"""Patients with an image of the figure's class that the interval needs."""

_Z: Final = NormalDist().inv_cdf(0.975)

_CHORD: Final = 1.75
"""Standard errors to either side of the level, between which the slope is taken: chosen by simulation."""

Fixed = Literal["specificity", "sensitivity"]
"""Which of the two is held; the other is the figure."""


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """The figure where the other one is at least the level; what is not defined is None, see `reason`.

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
    right = (scores >= cut) == truth
    parts, wholes = _by_patient(right, ~truth if rising else truth, patients)
    other = independent(*_by_patient(right, truth if rising else ~truth, patients))
    figures, holders = ("negative", "positive") if rising else ("positive", "negative")
    if np.count_nonzero(wholes) < ENOUGH:
        return FixedPoint(
            cut, value, reason=f"fewer than {ENOUGH} patients with {figures} images: no interval"
        )
    # With fewer, the level and all shares up to 1 are within the error of each other.
    if other < (needed := ceil(_Z**2 * level / (1 - level))):
        reason = f"{holders} images are worth fewer than {needed} independent ones: no interval"
        return FixedPoint(cut, value, reason=reason)
    # Where the level is true, as many images show a share this far from it.
    error = sqrt(level * (1 - level) / other)
    step = _CHORD * error
    slope = (value_at(level - step, 1.0) - value_at(level + step, 0.0)) / (2 * step)
    worth = _worth(value, independent(parts, wholes), slope * error)
    return FixedPoint(cut, value, *wilson(value * worth, worth))


def _worth(value: float, images: float, error: float) -> float:
    """Return how many images have the variance of a share of `images` independent ones and of `error`."""
    share = (value * images + _Z**2 / 2) / (images + _Z**2)
    spread = share * (1 - share)
    return spread / (spread / images + error**2)


def _by_patient(
    right: NDArray[np.bool_], of_class: NDArray[np.bool_], patients: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count each patient's images of a class: those that are called right, and all."""
    size = int(patients.max()) + 1
    right_ones = np.bincount(patients[of_class & right], minlength=size)
    return right_ones.astype(np.int64), np.bincount(patients[of_class], minlength=size).astype(np.int64)
