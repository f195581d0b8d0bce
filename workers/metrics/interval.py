"""The AUROC's 95% interval that covers what it says: with few cases, near 0 and 1, and by patient.

`benchmarks/interval_coverage.py` measures how often it does; docs/statistics.md holds the figures.
R. G. Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2",
Statistics in Medicine 25 (2006) 559-573, for intervals that solve for the area under its own variance;
J. A. Hanley and B. J. McNeil, Radiology 143 (1982) 29-36, for the exponential model's variance.
"""

from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri, owens_t

from workers.metrics.auroc import placements
from workers.metrics.patients import Clusters, effective_number, likeness
from workers.metrics.thresholds import missing_class

Method = Literal["delong", "obuchowski", "score"]

MANY_CASES: Final = 50
"""As `Interval` counts them: from so many on, an interval that is symmetric about the area covers."""

# In cases, too: the variance of the data has half the weight, and a model's the other half.
_HALF_TRUSTED: Final = 6
# Two models of the scores err to different sides: what the first of them counts.
_NORMAL: Final = 0.7
_EDGE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Interval:
    """An AUROC with its interval; a figure that the images do not define is None, see `reason`.

    `method`: `delong` is the normal interval of DeLong's variance, `obuchowski` the same clustered, where a
    patient has several images; `score` is the one for few cases and for areas near 0 or 1. `rarer`: the
    number of patients of the class that has fewer; `cases`: these times the share of misranked pairs, or of
    well ranked ones if those are fewer. `influence`: what each patient's images add to the area or take off
    it, by the patient's number, none after the last.
    """

    auroc: float | None = None
    low: float | None = None
    high: float | None = None
    method: Method | None = None
    rarer: int = 0
    cases: float = 0.0
    reason: str | None = None
    influence: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)


def auroc_interval(
    truth: NDArray[np.bool_],
    scores: NDArray[np.float64],
    patients: NDArray[np.intp],
    confidence: float = 0.95,
) -> Interval:
    """Return the AUROC of real scores (N,) for truth (N,), of images of patients with the numbers (N,).

    Without both classes there is no area; where the images of a class are one, or of one patient, there is no
    interval. Raises ValueError for other shapes, for a NaN score and for a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, not between 0 and 1")
    if not truth.any() or truth.all():
        return Interval(reason=missing_class(truth))
    components = placements(truth.astype(np.int8), scores)
    area = float(components.positive.mean())
    clusters = Clusters.of(truth, patients)
    if min(clusters.of_positive.size, clusters.of_negative.size) == 1:
        return Interval(area, reason="a class has a single image: no interval")
    influence = clusters.influence(components.positive, components.negative)
    variance = influence.variance()
    if variance is None:
        which = "positive" if clusters.positive == 1 else "negative"
        return Interval(area, reason=f"the {which} images are of one patient: no interval")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    several = clusters.either < patients.size
    rarer = min(clusters.positive, clusters.negative)
    cases = rarer * min(area, 1 - area)
    if cases < MANY_CASES:
        model = _Model.of(truth, scores, clusters)
        low, high = _solved(area, variance, model, z)
        return Interval(area, low, high, "score", rarer, cases, influence=influence.total())
    half = z * variance**0.5
    low, high = max(0.0, area - half), min(1.0, area + half)
    method: Method = "obuchowski" if several else "delong"
    return Interval(area, low, high, method, rarer, cases, influence=influence.total())


@dataclass(frozen=True, slots=True)
class _Model:
    """The variance of an AUROC as a function of the area alone, for images of these patients.

    A mean of two models: normal scores of equal variance, and Newcombe's, whose scores are exponential, half
    of the time with the classes exchanged. `positive` and `negative` are effective
    numbers of images; `shared` is what images of both classes of one patient take off 1 / m + 1 / n.
    """

    positive: float
    negative: float
    shared: float

    @classmethod
    def of(cls, truth: NDArray[np.bool_], scores: NDArray[np.float64], clusters: Clusters) -> Self:
        m, n = clusters.of_positive.size, clusters.of_negative.size
        if clusters.either == truth.size:
            return cls(m, n, 0.0)
        alike = likeness(truth, scores, clusters)
        both = [
            np.bincount(of, minlength=clusters.size) for of in (clusters.of_positive, clusters.of_negative)
        ]
        return cls(
            effective_number(clusters.of_positive, alike),
            effective_number(clusters.of_negative, alike),
            2 * alike * float(both[0] @ both[1]) / (m * n),
        )

    def variance(self, area: float) -> float:
        # P(a negative ranks below two positives) - area^2, in each model.
        normal = area - 2 * owens_t(float(ndtri(area)), 3**-0.5) - area**2
        exponential = area * (1 - area) / 2 * ((1 - area) / (2 - area) + area / (1 + area))
        pairs = float(_NORMAL * normal + (1 - _NORMAL) * exponential)
        images = 1 / self.positive + 1 / self.negative - self.shared
        return pairs * images + (area * (1 - area) - 2 * pairs) / (self.positive * self.negative)


def _solved(area: float, variance: float, model: _Model, z: float) -> tuple[float, float]:
    """Return the two areas that lie z of their own standard errors from the one found.

    The model gives the variance its shape, and the data its size as far as there are cases to tell: a power
    of the ratio of the two, which is 1 without a misranked pair.
    """
    scale = 1.0
    if variance and 0 < area < 1:
        cases = min(model.positive, model.negative) * min(area, 1 - area)
        scale = (variance / model.variance(area)) ** (cases / (cases + _HALF_TRUSTED))

    def excess(candidate: float) -> float:
        return (area - candidate) ** 2 - z**2 * scale * model.variance(candidate)

    low = 0.0 if area <= _EDGE else float(brentq(excess, 0.0, min(area, 1 - _EDGE)))
    high = 1.0 if area >= 1 - _EDGE else float(brentq(excess, max(area, _EDGE), 1.0))
    return low, high
