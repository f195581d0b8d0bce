"""What a measure of single cases is over a run: its mean with an interval, which patients are drawn for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.metrics.patients import number_patients

RESAMPLES: Final = 2000


@dataclass(frozen=True, slots=True)
class CaseMean:
    """A measure over the cases in which it is defined; `left_out` is the number of the others.

    Mean and median are None without a case, the bounds where `reason` says why.
    """

    cases: int
    left_out: int
    mean: float | None
    low: float | None
    high: float | None
    median: float | None
    reason: str | None = None


def case_mean(
    values: Sequence[float | None], patients: Sequence[str | None], seed: int = 0, confidence: float = 0.95
) -> CaseMean:
    """Average a measure with the percentile interval of resampled patients, each with all cases.

    `values`: None where the measure is not defined. `patients`: None for a patient of its own. The same
    arguments give the same interval.
    """
    defined = np.array([value is not None for value in values], dtype=bool)
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    left_out = len(values) - known.size
    if not known.size:
        return CaseMean(0, left_out, None, None, None, None, "defined in no case")
    named = np.array(list(patients), dtype=object)[defined]
    patient: NDArray[np.intp] = np.unique(number_patients(named).numbers, return_inverse=True)[1]
    mean, median = float(known.mean()), float(np.median(known))
    count = int(patient.max()) + 1
    if count == 1:
        return CaseMean(known.size, left_out, mean, None, None, median, "one patient only")
    sums = np.bincount(patient, known)
    sizes = np.bincount(patient)
    draws = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    means = sums[draws].sum(axis=1) / sizes[draws].sum(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    if low == high:
        reason = "resamples of these patients do not differ"
        return CaseMean(known.size, left_out, mean, None, None, median, reason)
    return CaseMean(known.size, left_out, mean, low, high, median)
