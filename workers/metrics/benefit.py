"""Decision curves: what calling images by a model is worth, by how many false alarms a finding is worth.

A. J. Vickers and E. B. Elkin, "Decision curve analysis: a novel method for evaluating prediction models",
Medical Decision Making 26 (2006) 565-574.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

THRESHOLDS: Final = tuple(percent / 100 for percent in range(1, 100))


@dataclass(frozen=True, slots=True)
class Benefit:
    """The net benefit at one threshold probability, in true positives per image.

    `model`: with p >= threshold called positive; `everyone`: with all images called so. Without any it is 0.
    """

    threshold: float
    tp: int
    fp: int
    model: float
    everyone: float


def net_benefits(truth: NDArray[np.bool_], p: NDArray[np.float64]) -> list[Benefit]:
    """Return the decision curve of probabilities (N,) for truth (N,) at each of THRESHOLDS; empty for N = 0.

    A threshold t means that one finding is worth (1 - t) / t false alarms: the net benefit is
    tp / N - fp / N * t / (1 - t).
    """
    if not truth.size:
        return []
    positives, negatives = np.sort(p[truth]), np.sort(p[~truth])
    found = []
    for threshold in THRESHOLDS:
        tp = positives.size - int(np.searchsorted(positives, threshold))
        fp = negatives.size - int(np.searchsorted(negatives, threshold))
        price = threshold / (1 - threshold)
        model = (tp - fp * price) / truth.size
        everyone = (positives.size - negatives.size * price) / truth.size
        found.append(Benefit(threshold, tp, fp, model, everyone))
    return found
