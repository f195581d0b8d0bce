"""Simulated archives whose true figures are known: normal scores, and patients with several images."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

NEGATIVES: Final = 200
LAYOUTS: Final = {
    "one image per patient": (0, 0.0),
    "three alike": (3, 0.9),
    "three, two of them positive": (2, 0.5),
}
"""By name: how many of a patient's three images are positive, 0 for patients with one image; correlation."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Simulated images: truth (N,), patients' numbers (N,), and how alike a patient's images are."""

    truth: NDArray[np.bool_]
    patients: NDArray[np.intp]
    correlation: float

    def scores(self, rng: np.random.Generator, area: float) -> NDArray[np.float64]:
        """Draw scores (N,) with this AUROC."""
        noise = rng.normal(size=self.truth.size)
        shared = rng.normal(size=int(self.patients.max()) + 1)[self.patients]
        spread = self.correlation**0.5 * shared + (1 - self.correlation) ** 0.5 * noise
        apart = 2**0.5 * NormalDist().inv_cdf(area)
        drawn: NDArray[np.float64] = spread + apart * self.truth
        return drawn


def archive(layout: str, positives: int, negatives: int = NEGATIVES) -> Archive:
    """Return the images of a layout, positive ones first."""
    together, correlation = LAYOUTS[layout]
    truth = np.arange(positives + negatives) < positives
    if not together:
        return Archive(truth, np.arange(truth.size), correlation)
    of_positive = np.arange(positives) // together
    # A patient with a positive image has 3 in all; further patients have three negative ones each.
    beside = np.repeat(np.arange(of_positive[-1] + 1), 3 - together)[:negatives]
    others = of_positive[-1] + 1 + np.arange(negatives - beside.size) // 3
    return Archive(truth, np.concatenate([of_positive, beside, others]), correlation)
