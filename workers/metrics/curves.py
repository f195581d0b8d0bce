"""ROC and precision-recall curves with as many points as a plot can show.

The rule of thinning: first go the points that carry no area, those on a straight piece of the ROC curve and
all but the first of each recall. Of a curve that still has more than 200 points, the first and the last one
are kept; the others fall into 198 strips of equal length, counting the way along x and the way up and down y
half each, and of each strip that point is kept with which the area under straight lines, up to the end of the
next strip, comes closest to that under all points. What one strip loses or gains, the next ones give back.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.metrics.shares import Bounds, clustered_wilson
from workers.metrics.thresholds import NO_POSITIVE, cuts_of, known_images, missing_class

MOST_POINTS: Final = 200

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of a curve from the highest threshold to the lowest; without a curve, `reason` says why.

    ROC: `x` is 1 - specificity, `y` the sensitivity, `area` the AUROC. Precision-recall: `x` is the recall,
    `y` the precision, `area` the average precision, a sum of steps that are as high as their right ends.
    `area` is that of all points; the at most 200 that are kept have the same area under straight lines as
    all, within 1e-3. `thresholds`: p >= threshold gives the point; None for the first, where no image is
    called positive, and whose precision, which is undefined, is that of the second.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    thresholds: tuple[float | None, ...]
    area: float | None
    reason: str | None = None


def roc(labels: NDArray[np.generic], scores: NDArray[np.generic]) -> Curve:
    """Return the ROC curve of real scores (N,) for labels (N,): 1, 0, or -1 or NaN for unknown, left out.

    Raises ValueError for other shapes and for another label.
    """
    truth, (s,), reason = known_images(labels, scores)
    reason = reason or missing_class(truth)
    if reason:
        return Curve((), (), (), None, reason)
    cuts, hits, false_alarms = cuts_of(truth, s)
    # In counts, where a straight piece is exactly straight.
    up, across = np.diff(hits, prepend=0), np.diff(false_alarms, prepend=0)
    corner = np.append(across[:-1] * up[1:] != across[1:] * up[:-1], True)
    x, y = (np.append(0.0, counts[corner] / counts[-1]) for counts in (false_alarms, hits))
    return _thinned(x, y, np.append(np.inf, cuts[corner]), float(np.trapezoid(y, x)))


def precision_recall(labels: NDArray[np.generic], scores: NDArray[np.generic]) -> Curve:
    """Return the precision-recall curve of real scores (N,) for labels (N,), as `roc` takes them.

    Raises ValueError for other shapes and for another label.
    """
    truth, (s,), reason = known_images(labels, scores)
    reason = reason or (None if truth.any() else NO_POSITIVE)
    if reason:
        return Curve((), (), (), None, reason)
    cuts, hits, false_alarms = cuts_of(truth, s)
    first = np.diff(hits, prepend=0) > 0
    first[-1] = True
    precision = (hits / (hits + false_alarms))[first]
    x, y = np.append(0.0, hits[first] / hits[-1]), np.append(precision[0], precision)
    return _thinned(x, y, np.append(np.inf, cuts[first]), float(np.diff(x) @ y[1:]))


def roc_band(
    curve: Curve, labels: NDArray[np.integer], scores: NDArray[np.floating], patients: NDArray[np.intp]
) -> list[Bounds]:
    """Return the 95% interval of the sensitivity at each point's threshold, by patient.

    `labels`, `scores` (N,): as `roc` takes them. `patients` (N,): the number of each image's patient, from 0.
    """
    positive = labels == 1
    s, whose = scores[positive], patients[positive]
    wholes = np.bincount(whose)
    return [
        clustered_wilson(np.bincount(whose[s >= _lowest(threshold)], minlength=wholes.size), wholes)
        for threshold in curve.thresholds
    ]


def precision_band(
    curve: Curve, labels: NDArray[np.integer], scores: NDArray[np.floating], patients: NDArray[np.intp]
) -> list[Bounds]:
    """Return the 95% interval of the precision at each point's threshold, by patient, as `roc_band` does.

    It is (None, None) for the first point, where no image is called positive.
    """
    known = (labels == 0) | (labels == 1)
    order = np.flatnonzero(known)[np.argsort(-scores[known], kind="stable")]
    falling, whose, positive = scores[order], patients[order], labels[order] == 1
    bounds: list[Bounds] = []
    for threshold in curve.thresholds:
        called = int(np.searchsorted(-falling, -_lowest(threshold), side="right"))
        wholes = np.bincount(whose[:called])
        parts = np.bincount(whose[:called][positive[:called]], minlength=wholes.size)
        bounds.append(clustered_wilson(parts, wholes))
    return bounds


def _lowest(threshold: float | None) -> float:
    return np.inf if threshold is None else threshold


def _thinned(x: _Floats, y: _Floats, thresholds: _Floats, area: float) -> Curve:
    kept = _chosen(x, y)
    return Curve(
        tuple(x[kept].tolist()), tuple(y[kept].tolist()), (None, *thresholds[kept][1:].tolist()), area
    )


def _chosen(x: _Floats, y: _Floats) -> NDArray[np.intp]:
    """Return the indices of the points to keep; x rises from 0 to 1."""
    last = x.size - 1
    if last < MOST_POINTS:
        return np.arange(x.size)

    areas = np.append(0.0, np.cumsum(np.diff(x) * (y[1:] + y[:-1]) / 2))
    climbed = np.append(0.0, np.cumsum(np.abs(np.diff(y))))
    along = (x + climbed / max(float(climbed[-1]), 1e-12)) / 2
    strips = MOST_POINTS - 2
    edges = np.searchsorted(along[1:last], np.arange(1, strips) / strips)
    filled = [strip for strip in np.split(np.arange(1, last), edges) if strip.size]
    ends = [*(int(strip[-1]) for strip in filled[1:]), last]
    kept, area = [0], 0.0
    for strip, end in zip(filled, ends, strict=True):
        reached = area + (x[strip] - x[kept[-1]]) * (y[strip] + y[kept[-1]]) / 2
        beyond = (x[end] - x[strip]) * (y[end] + y[strip]) / 2
        best = int(np.argmin(np.abs(reached + beyond - areas[end])))
        kept.append(int(strip[best]))
        area = float(reached[best])
    return np.array([*kept, last])
