"""The mean of what each image has, such as a squared error, with its 95% interval by patient.

The interval is Student's t on the logarithm's scale: such means lie near 0 and are skewed. Its variance
counts a patient's images together, as N. A. Obuchowski does for two classes, Biometrics 53 (1997) 567-578.
"""

from math import exp
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from workers.metrics.patients import Clusters, count_patients
from workers.metrics.shares import Bounds

ENOUGH: Final = 30
"""Patients, of each class where there are two: with fewer it covers too little, see docs/statistics.md."""


def brier_interval(
    truth: NDArray[np.bool_], probabilities: NDArray[np.float64], patients: NDArray[np.intp]
) -> Bounds:
    """Return the interval of the mean squared distance of probabilities (N,) and truth (N,).

    It is for archives with the same share of positive images. `patients` (N,): numbers from 0. (None, None)
    with fewer than ENOUGH patients of a class.
    """
    if not truth.any() or truth.all():
        return None, None
    clusters = Clusters.of(truth, patients)
    if min(clusters.positive, clusters.negative) < ENOUGH:
        return None, None
    squares = (probabilities - truth) ** 2
    share = float(truth.mean())
    influence = clusters.influence(share * squares[truth], (1 - share) * squares[~truth])
    variance = influence.variance()
    return _interval(float(squares.mean()), variance or 0.0, influence.freedom())


def mean_interval(values: NDArray[np.float64], patients: NDArray[np.intp]) -> Bounds:
    """Return the interval of the mean of values (N,) from 0 to 1, of patients with the numbers (N,), from 0.

    (None, None) with fewer than ENOUGH patients.
    """
    number = count_patients(patients) if patients.size else 0
    if number < ENOUGH:
        return None, None
    mean = float(values.mean())
    added = np.bincount(patients, values - mean) / values.size
    variance = number / (number - 1) * float((added * added).sum())
    return _interval(mean, variance, number - 1)


def _interval(mean: float, variance: float, freedom: float) -> Bounds:
    if mean <= 0 or variance <= 0:  # values that are all alike tell nothing of how far others lie
        return None, None
    ratio = exp(float(stdtrit(freedom, 0.975)) * variance**0.5 / mean)
    return mean / ratio, min(1.0, mean * ratio)
