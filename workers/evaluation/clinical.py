"""What a clinician asks of a finding's scores, as rows of an evaluation's tables."""

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from db.evaluations import Figures
from workers.metrics.benefit import net_benefits
from workers.metrics.first import first_images
from workers.metrics.fixed import LEVEL, Fixed, at_fixed
from workers.metrics.thresholds import known_images

_FIXED: tuple[Fixed, ...] = ("specificity", "sensitivity")


def add_clinical(
    figures: Figures,
    finding_id: int,
    labels: NDArray[np.int8],
    probabilities: NDArray[np.float32],
    patients: NDArray[np.intp],
) -> None:
    """Add the figures of all images (N,): 1, 0 or -1 for unknown, with patients as numbers from 0."""
    truth, (p,), _ = known_images(labels, probabilities)
    whose = patients[(labels == 0) | (labels == 1)]
    key = {"finding_id": finding_id}
    figures.fixed.extend(
        key | {"fixed": fixed, "level": LEVEL} | asdict(at_fixed(truth, p, whose, fixed)) for fixed in _FIXED
    )
    figures.benefits.extend(key | asdict(benefit) for benefit in net_benefits(truth, p))
    figures.firsts.extend(key | asdict(first) for first in first_images(truth, p, whose))
