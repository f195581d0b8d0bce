"""The figures of one finding, as they become a row of the `auc` view."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss

from workers.evaluation.auroc import delong
from workers.evaluation.thresholds import Confusion, confusion


@dataclass(frozen=True, slots=True)
class FindingSummary:
    """How well a model finds one finding; a figure that the images do not define is None.

    `ci_low` and `ci_high`: DeLong's 95% interval of `auroc`. `average_precision`: the step-wise area
    under the precision-recall curve. From `sensitivity` to `f1`: with `probability >= threshold` called
    positive. `brier`: the mean squared distance of probability and label.
    """

    finding: str
    n_positive: int
    n_negative: int
    auroc: float | None
    ci_low: float | None
    ci_high: float | None
    average_precision: float | None
    threshold: float | None
    sensitivity: float | None
    specificity: float | None
    ppv: float | None
    npv: float | None
    f1: float | None
    brier: float | None


@dataclass(frozen=True, slots=True)
class MacroMean:
    """The mean AUROC of `findings` findings, all that have one; None, with the reason, where none has."""

    auroc: float | None
    findings: int
    reason: str | None = None


def macro_mean(aurocs: Iterable[float | None]) -> MacroMean:
    """Return the mean over the findings that have an AUROC; None and NaN are passed over."""
    defined = [auroc for auroc in aurocs if auroc is not None and not isnan(auroc)]
    if not defined:
        return MacroMean(None, 0, "no finding has an AUROC")
    return MacroMean(fmean(defined), len(defined))


def summarise(
    finding: str,
    labels: NDArray[np.int8],
    probabilities: NDArray[np.float32],
    threshold: float | None,
) -> FindingSummary:
    """Summarise probabilities (N,) in [0, 1] against labels (N,): 1, 0, or -1 for unknown, left out.

    Without a `threshold` the figures that need one are None. Raises ValueError for other shapes, for
    another label, for a probability of a known image that is NaN or outside [0, 1], for a NaN threshold.
    """
    if labels.ndim != 1 or labels.shape != probabilities.shape:
        raise ValueError(f"labels {labels.shape} and probabilities {probabilities.shape} do not match")
    if threshold is not None and isnan(threshold):
        raise ValueError("the threshold is NaN")
    known = labels != -1
    truth = labels[known]
    # In double precision, so that SQL on the stored numbers finds the same images over the threshold.
    p = probabilities[known].astype(np.float64)
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError("a probability is NaN or outside [0, 1]")
    area = delong(truth, p)
    calls = Confusion(None) if threshold is None else confusion(truth, p, threshold)
    return FindingSummary(
        finding=finding,
        n_positive=area.n_positive,
        n_negative=area.n_negative,
        auroc=area.auroc,
        ci_low=area.ci_low,
        ci_high=area.ci_high,
        average_precision=float(average_precision_score(truth, p)) if area.n_positive else None,
        threshold=threshold,
        sensitivity=calls.sensitivity,
        specificity=calls.specificity,
        ppv=calls.ppv,
        npv=calls.npv,
        f1=calls.f1,
        brier=float(brier_score_loss(truth, p, pos_label=1)) if truth.size else None,
    )
