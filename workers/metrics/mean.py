"""The mean AUROC of several findings and its interval, where all are read in the same patients' images.

G. Y. Zou and A. Donner, "Construction of confidence limits about effect measures: a general approach",
Statistics in Medicine 27 (2008) 1693-1702: each finding's own interval tells how far its area may be off, to
either side, and the patients' influence on the areas tells which of them err together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.metrics.interval import Interval

ENOUGH: Final = 10
"""Patients of each class that a finding needs to be part of a mean: the area of fewer is mostly chance."""


@dataclass(frozen=True, slots=True)
class MeanAuroc:
    """A mean AUROC with its 95% interval; None without a finding to take part."""

    auroc: float | None = None
    low: float | None = None
    high: float | None = None


def mean_auroc(areas: Sequence[Interval]) -> MeanAuroc:
    """Return the mean of areas whose patients have the same numbers, and whose intervals are known."""
    if not areas:
        return MeanAuroc()
    low, area, high = np.array([(found.low, found.auroc, found.high) for found in areas], dtype=float).T
    alike = _correlations([found.influence for found in areas])
    mean = fsum(area) / len(areas)
    down, up = (float(side @ alike @ side) ** 0.5 / len(areas) for side in (area - low, high - area))
    return MeanAuroc(mean, max(0.0, mean - down), min(1.0, mean + up))


def _correlations(influences: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Correlate the influences of the patients, each up to its last; one without spread is like none."""
    vectors = np.zeros((len(influences), max(map(len, influences))))
    for vector, influence in zip(vectors, influences, strict=True):
        vector[: influence.size] = influence
    lengths = np.sqrt((vectors * vectors).sum(axis=1))
    vectors /= np.where(lengths, lengths, 1.0)[:, None]
    # Not a product of matrices: threads of BLAS cost more than they save here.
    alike: NDArray[np.float64] = np.einsum("ip,jp->ij", vectors, vectors)
    np.fill_diagonal(alike, 1.0)
    return alike
