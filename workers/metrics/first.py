"""How many of the first images on a list are positive: what somebody finds who reads from the top."""

from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.metrics.shares import clustered_wilson

FIRST: Final = (10, 20, 50, 100, 200, 500, 1000)
"""How many images are read; a tenth of all is added."""


@dataclass(frozen=True, slots=True)
class First:
    """The first `images` of a list, by falling score; None where the images do not define a figure.

    `positive`: how many of them are. `precision`: their share, with Wilson's 95% interval, by patient.
    `lift`: as a multiple of the share in all images. `found`: the share of all positive images.
    """

    images: int
    positive: int
    precision: float
    low: float | None
    high: float | None
    lift: float | None
    found: float | None


def first_images(
    truth: NDArray[np.bool_], scores: NDArray[np.float64], patients: NDArray[np.intp]
) -> list[First]:
    """Count the positive among the first images, by truth (N,), falling scores (N,) and patients (N,).

    At each of FIRST that is below N, and at a tenth of N, rounded up. Equal scores keep the images' order.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, whose = truth[order], patients[order]
    positives = int(np.count_nonzero(truth))
    tenth = {ceil(truth.size / 10)} if truth.size else set()
    found = []
    for images in sorted({number for number in FIRST if number < truth.size} | tenth):
        positive = int(np.count_nonzero(ranked[:images]))
        parts = np.bincount(whose[:images][ranked[:images]], minlength=int(whose[:images].max()) + 1)
        low, high = clustered_wilson(parts, np.bincount(whose[:images]))
        precision = positive / images
        lift = precision / (positives / truth.size) if positives else None
        share = positive / positives if positives else None
        found.append(First(images, positive, precision, low, high, lift, share))
    return found
