"""The figures of one finding in one group of images, as they become rows of `auc` and its sister views."""

from dataclasses import dataclass
from math import isnan
from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.metrics.averages import brier_interval
from workers.metrics.bootstrap import bootstrap_auroc
from workers.metrics.calibration import Calibration, calibrate
from workers.metrics.interval import Interval, Method, auroc_interval
from workers.metrics.patients import Patients
from workers.metrics.precision import average_precision
from workers.metrics.thresholds import Confusion, Kind, at_thresholds, known_images, missing_class

_ENOUGH_TO_RESAMPLE: Final = 10
"""Cases, as `Interval` counts them: percentiles of resamples cover too little with fewer."""


@dataclass(frozen=True, slots=True)
class FindingSummary:
    """How well a model detects one finding; a figure that the images do not define is None, see `reason`.

    `patients`: of the labelled images, one for each of the `without_patient` images whose patient is unknown.
    `ci_low` and `ci_high`: the 95% interval of `auroc`, made by `ci_method`; `bootstrap_low` and
    `bootstrap_high`: that of resampled patients, where asked for and where there are cases enough.
    `average_precision`: the step-wise area under the precision-recall curve, with its 95% interval. From
    `sensitivity` to `f1`: with `probability >= threshold` called positive. `brier`: the mean squared distance
    of probability and label, with its 95% interval; `calibration_error`: the expected one over 20 bins.
    """

    n_positive: int
    n_negative: int
    patients: int
    without_patient: int
    auroc: float | None
    ci_low: float | None
    ci_high: float | None
    ci_method: Method | None
    average_precision: float | None
    average_precision_low: float | None
    average_precision_high: float | None
    threshold: float | None
    sensitivity: float | None
    specificity: float | None
    ppv: float | None
    npv: float | None
    f1: float | None
    brier: float | None
    brier_low: float | None
    brier_high: float | None
    calibration_error: float | None
    bootstrap_low: float | None
    bootstrap_high: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary with what it was drawn from: the area, the calls at each kind of threshold, calibration."""

    figures: FindingSummary
    area: Interval
    calls: dict[Kind, Confusion]
    calibration: Calibration


def summarise(
    labels: NDArray[np.int8],
    probabilities: NDArray[np.floating],
    *,
    threshold: float | None,
    wanted_sensitivity: float | None = None,
    patients: Patients | None = None,
    resamples: int = 0,
) -> Summary:
    """Summarise probabilities (N,) in [0, 1] against labels (N,): 1, 0, or -1 for unknown, left out.

    Without a `threshold` the figures that need one are None. Intervals are by `patients` (N,); without them
    each image is a patient's only one. `resamples` draws of patients, if any, make the second interval of the
    AUROC. Raises ValueError for other shapes, for another label, for a
    probability of a known image that is NaN or outside [0, 1], for a NaN threshold and for a wanted
    sensitivity outside (0, 1].
    """
    if threshold is not None and isnan(threshold):
        raise ValueError("the threshold is NaN")
    truth, (p,), _ = known_images(labels, probabilities)
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError("a probability is NaN or outside [0, 1]")
    known = truth.astype(np.int8)
    whose = patients or Patients(np.arange(labels.size), 0)
    whose = whose[(labels == 0) | (labels == 1)]
    area = auroc_interval(truth, p, whose.numbers)
    precision = average_precision(truth, p, whose.numbers)
    calls = at_thresholds(
        known, p, card=threshold, wanted_sensitivity=wanted_sensitivity, patients=whose.numbers
    )
    calibration = calibrate(known, p)
    brier_low, brier_high = brier_interval(truth, p, whose.numbers)
    at_card = calls["card"]
    reasons = [missing_class(truth) or area.reason]
    low = high = None
    if resamples and area.low is not None:
        if area.cases < _ENOUGH_TO_RESAMPLE:
            reasons.append("too few cases to resample patients")
        else:
            drawn = bootstrap_auroc(known, p, whose.numbers, resamples=resamples)
            low, high = drawn.ci_low, drawn.ci_high
            reasons.append(drawn.reason)
    n_positive = int(np.count_nonzero(truth))
    figures = FindingSummary(
        n_positive=n_positive,
        n_negative=truth.size - n_positive,
        patients=whose.count(),
        without_patient=whose.unnamed(),
        auroc=area.auroc,
        ci_low=area.low,
        ci_high=area.high,
        ci_method=area.method,
        average_precision=precision.value,
        average_precision_low=precision.low,
        average_precision_high=precision.high,
        threshold=threshold,
        sensitivity=at_card.sensitivity,
        specificity=at_card.specificity,
        ppv=at_card.ppv,
        npv=at_card.npv,
        f1=at_card.f1,
        brier=calibration.brier,
        brier_low=brier_low,
        brier_high=brier_high,
        calibration_error=calibration.expected_error,
        bootstrap_low=low,
        bootstrap_high=high,
        reason="; ".join(reason for reason in reasons if reason) or None,
    )
    return Summary(figures, area, calls, calibration)
