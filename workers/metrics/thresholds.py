"""Thresholds and the calls that follow from them: p >= threshold is called positive."""

from dataclasses import dataclass
from math import isnan
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from workers.metrics.shares import clustered_wilson

Kind = Literal["card", "0.5", "youden", "sensitivity"]
"""Where a threshold comes from: the model's card, one half, Youden's index, a wanted sensitivity."""

NO_IMAGE: Final = "no labelled image"
NO_POSITIVE: Final = "no positive image"
NO_NEGATIVE: Final = "no negative image"


@dataclass(frozen=True, slots=True)
class Confusion:
    """The calls at one threshold; a figure that the images do not define is None, `reason` says why.

    Each of sensitivity, specificity, PPV and NPV has Wilson's 95% interval, by patient, beside it. F1 is None
    without a positive image, where it would be 0 for want of cases and not for want of skill. Without a
    threshold, or with a probability that is NaN, all figures are None.
    """

    threshold: float | None
    tp: int | None = None
    fp: int | None = None
    tn: int | None = None
    fn: int | None = None
    sensitivity: float | None = None
    sensitivity_low: float | None = None
    sensitivity_high: float | None = None
    specificity: float | None = None
    specificity_low: float | None = None
    specificity_high: float | None = None
    ppv: float | None = None
    ppv_low: float | None = None
    ppv_high: float | None = None
    npv: float | None = None
    npv_low: float | None = None
    npv_high: float | None = None
    f1: float | None = None
    accuracy: float | None = None
    prevalence: float | None = None
    reason: str | None = None


def known_images(
    labels: NDArray[np.generic], *scores: NDArray[np.generic]
) -> tuple[NDArray[np.bool_], list[NDArray[np.float64]], str | None]:
    """Leave out the images without a label; returns truth (n,), each of the scores (n,), and a reason.

    `labels` (N,) are 1, 0, or -1 or NaN where unknown; each of `scores` is (N,). The reason is None where
    the scores can be used, and names no image or a NaN otherwise.
    Raises ValueError for other shapes and for another label.
    """
    if labels.ndim != 1 or any(labels.shape != score.shape for score in scores):
        raise ValueError(f"labels {labels.shape} and scores {[score.shape for score in scores]} do not match")
    known = (labels == 0) | (labels == 1)
    unknown = (labels == -1) | (labels != labels)  # noqa: PLR0124 - NaN, in an array of any type
    if not np.all(known | unknown):
        raise ValueError("a label is none of 0, 1, -1 and NaN")
    # In double precision, so that SQL on the stored numbers finds the same images over a threshold.
    kept = [score[known].astype(np.float64) for score in scores]
    reason = None
    if not known.any():
        reason = NO_IMAGE
    elif any(np.isnan(score).any() for score in kept):
        reason = "a score of a labelled image is NaN"
    return labels[known] == 1, kept, reason


def missing_class(truth: NDArray[np.bool_]) -> str | None:
    """Name what is missing for a figure that needs positive and negative images; None if nothing is."""
    if not truth.size:
        return NO_IMAGE
    if not truth.any():
        return NO_POSITIVE
    return NO_NEGATIVE if truth.all() else None


def confusion(
    labels: NDArray[np.generic],
    probabilities: NDArray[np.generic],
    threshold: float,
    patients: NDArray[np.intp] | None = None,
) -> Confusion:
    """Count the calls of probabilities (N,) against labels (N,): 1, 0, or -1 or NaN for unknown, left out.

    Intervals are by `patients` (N,), numbers from 0; without them each image is a patient's only one.
    Raises ValueError for other shapes, for another label and for a NaN threshold.
    """
    if isnan(threshold):
        raise ValueError("the threshold is NaN")
    truth, (p,), reason = known_images(labels, probabilities)
    if reason:
        return Confusion(threshold, reason=reason)
    return _count(truth, p, threshold, _known_patients(labels, patients))


def at_thresholds(
    labels: NDArray[np.generic],
    probabilities: NDArray[np.generic],
    *,
    card: float | None,
    wanted_sensitivity: float | None = None,
    patients: NDArray[np.intp] | None = None,
) -> dict[Kind, Confusion]:
    """Count the calls at each kind of threshold, for arrays as `confusion` takes them.

    Of the cuts that lie on a probability of these images, Youden's is the one of the greatest sensitivity +
    specificity - 1, and "sensitivity" the highest with at least `wanted_sensitivity`; of equals, the highest.
    Both were chosen on these labels, which flatters their figures. All four kinds are in the answer; one
    that has no threshold says so in `reason`.
    Raises ValueError for other shapes, for another label, for a card's threshold that is NaN and for a
    wanted sensitivity outside (0, 1].
    """
    if card is not None and isnan(card):
        raise ValueError("the card's threshold is NaN")
    if wanted_sensitivity is not None and not 0 < wanted_sensitivity <= 1:
        raise ValueError(f"the wanted sensitivity is {wanted_sensitivity}, not in (0, 1]")
    truth, (p,), unusable = known_images(labels, probabilities)
    if unusable:
        asked: dict[Kind, float | None] = {"card": card, "0.5": 0.5, "youden": None, "sensitivity": None}
        return {kind: Confusion(cut, reason=unusable) for kind, cut in asked.items()}
    whose = _known_patients(labels, patients)
    cuts, hits, false_alarms = cuts_of(truth, p)
    n_positive, n_negative = int(hits[-1]), int(false_alarms[-1])

    def at(cut: float | None, reason: str | None) -> Confusion:
        return Confusion(None, reason=reason) if cut is None else _count(truth, p, cut, whose)

    # In whole numbers, where cuts that are equally good are equal; argmax takes the first, the highest.
    best = None if missing_class(truth) else cuts[np.argmax(hits * n_negative - false_alarms * n_positive)]
    enough, no_sensitivity = (
        None,
        "no sensitivity is asked for" if wanted_sensitivity is None else NO_POSITIVE,
    )
    if wanted_sensitivity is not None and n_positive:
        enough = cuts[np.argmax(hits / n_positive >= wanted_sensitivity)]
    return {
        "card": at(card, "the card has no threshold"),
        "0.5": at(0.5, None),
        "youden": at(None if best is None else float(best), missing_class(truth)),
        "sensitivity": at(None if enough is None else float(enough), no_sensitivity),
    }


def cuts_of(
    truth: NDArray[np.bool_], p: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct scores (N,) from high to low, and the true and false positives at each."""
    order = np.argsort(-p, kind="stable")
    falling = p[order]
    last_of_equals = np.append(falling[1:] != falling[:-1], True)
    hits = np.cumsum(truth[order], dtype=np.int64)[last_of_equals]
    return falling[last_of_equals], hits, np.flatnonzero(last_of_equals) + 1 - hits


def _known_patients(labels: NDArray[np.generic], patients: NDArray[np.intp] | None) -> NDArray[np.intp]:
    known = (labels == 0) | (labels == 1)
    return np.arange(np.count_nonzero(known)) if patients is None else patients[known]


def _count(
    truth: NDArray[np.bool_], p: NDArray[np.float64], threshold: float, patients: NDArray[np.intp]
) -> Confusion:
    # Each patient's images by truth and call; the order of the columns is that of this sum.
    cell = 2 * truth + (p >= threshold)
    by_patient = np.bincount(4 * patients + cell, minlength=4 * int(patients.max() + 1)).reshape(-1, 4)
    tn_of, fp_of, fn_of, tp_of = np.ascontiguousarray(by_patient[by_patient.any(axis=1)].T)
    tn, fp, fn, tp = (int(of.sum()) for of in (tn_of, fp_of, fn_of, tp_of))
    missing = {
        NO_POSITIVE: tp + fn,
        NO_NEGATIVE: tn + fp,
        "no image is called positive": tp + fp,
        "no image is called negative": tn + fn,
    }
    shares: dict[str, float | None] = {}
    for name, parts, others in (
        ("sensitivity", tp_of, fn_of),
        ("specificity", tn_of, fp_of),
        ("ppv", tp_of, fp_of),
        ("npv", tn_of, fn_of),
    ):
        wholes = parts + others
        shares[name] = _share(int(parts.sum()), int(wholes.sum()))
        shares[f"{name}_low"], shares[f"{name}_high"] = clustered_wilson(parts, wholes)
    return Confusion(
        threshold=threshold,
        tp=tp,
        fp=fp,
        tn=tn,
        fn=fn,
        **shares,
        f1=_share(2 * tp, 2 * tp + fp + fn) if tp + fn else None,
        accuracy=_share(tp + tn, truth.size),
        prevalence=_share(tp + fn, truth.size),
        reason="; ".join(why for why, count in missing.items() if not count) or None,
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
