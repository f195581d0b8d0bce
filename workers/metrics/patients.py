"""Images of one patient are not independent draws: patients as numbers, and what their images are worth.

N. A. Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics 53 (1997) 567-578; L. Kish,
"Survey Sampling", Wiley (1965), for the effective number of images.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workers.metrics.ranks import mid_ranks


@dataclass(frozen=True, slots=True)
class Patients:
    """Whose each image is: `numbers` (N,), each patient's its own, from 0.

    An image whose patient is unknown is a patient of its own. The numbers below `named` are of patients that
    are known.
    """

    numbers: NDArray[np.intp]
    named: int

    def __getitem__(self, images: slice | NDArray[np.intp] | NDArray[np.bool_]) -> Self:
        """Return the patients of some of the images, under the same numbers."""
        return type(self)(self.numbers[images], self.named)

    def count(self) -> int:
        """Return the number of patients."""
        return count_patients(self.numbers)

    def unnamed(self) -> int:
        """Return the number of images whose patient is unknown."""
        return int(np.count_nonzero(self.numbers >= self.named))


def number_patients(names: NDArray[np.generic]) -> Patients:
    """Give patients numbers by their names (N,), of any type; None and NaN are unknown patients."""
    codes, distinct = pd.factorize(names)
    numbers: NDArray[np.intp] = codes.astype(np.intp)
    alone = numbers == -1
    numbers[alone] = np.arange(len(distinct), len(distinct) + np.count_nonzero(alone))
    return Patients(numbers, len(distinct))


def count_patients(numbers: NDArray[np.intp]) -> int:
    """Return how many numbers there are in (N,), all at least 0."""
    return int(np.count_nonzero(np.bincount(numbers)))


@dataclass(frozen=True, slots=True)
class Clusters:
    """The patients of an AUROC's images, numbers from 0, and how many there are.

    `of_positive` (m,) and `of_negative` (n,): whose each image is. `positive`, `negative`: the number of
    patients with an image of the class; `either`: of all.
    """

    of_positive: NDArray[np.intp]
    of_negative: NDArray[np.intp]
    positive: int
    negative: int
    either: int

    @classmethod
    def of(cls, truth: NDArray[np.bool_], patients: NDArray[np.intp]) -> Self:
        """Split the patients (N,) of images by their truth (N,), in which both classes occur."""
        classes = patients[truth], patients[~truth]
        size = 1 + int(patients.max())
        has_positive, has_negative = (np.bincount(members, minlength=size) > 0 for members in classes)
        counts = (np.count_nonzero(has) for has in (has_positive, has_negative, has_positive | has_negative))
        return cls(*classes, *map(int, counts))

    @property
    def size(self) -> int:
        """One more than the greatest of the patients' numbers."""
        return 1 + int(max(self.of_positive.max(), self.of_negative.max()))

    def influence(self, positive: NDArray[np.float64], negative: NDArray[np.float64]) -> "Influence":
        """Sum what each image adds to a figure over the images of each patient.

        `positive` (m,) and `negative` (n,): an AUROC's structural components, those of `placements`, or for a
        paired comparison the differences of two models'.
        """
        return Influence(
            self,
            np.bincount(self.of_positive, positive - positive.mean(), self.size) / positive.size,
            np.bincount(self.of_negative, negative - negative.mean(), self.size) / negative.size,
        )


@dataclass(frozen=True, slots=True)
class Influence:
    """What each patient's positive images (`above`) and negative ones (`below`) add to a figure, by number.

    Both are (clusters.size,), take from it where they are negative, and sum to 0.
    """

    clusters: Clusters
    above: NDArray[np.float64]
    below: NDArray[np.float64]

    def total(self) -> NDArray[np.float64]:
        """Return what all images of each patient add."""
        return self.above + self.below

    def variance(self) -> float | None:
        """Return the variance of the figure, clustered by patient; None where a class is of one patient.

        With one image per patient an AUROC's is DeLong's.
        """
        positive, negative, either = self.clusters.positive, self.clusters.negative, self.clusters.either
        if positive == 1 or negative == 1:
            return None
        # Sums of products, not products of vectors: threads of BLAS cost more than they save here.
        return float(
            positive / (positive - 1) * (self.above * self.above).sum()
            + negative / (negative - 1) * (self.below * self.below).sum()
            + 2 * either / (either - 1) * (self.above * self.below).sum()
        )

    def freedom(self) -> float:
        """Return Welch's degrees of freedom of `variance`, which holds for two patients of each class."""
        positive, negative = self.clusters.positive, self.clusters.negative
        of_positive = float((self.above * self.above).sum()) / (positive - 1) * positive
        of_negative = float((self.below * self.below).sum()) / (negative - 1) * negative
        both = of_positive**2 / (positive - 1) + of_negative**2 / (negative - 1)
        return (of_positive + of_negative) ** 2 / both if both else float(self.clusters.either - 2)


def intraclass_correlation(values: NDArray[np.float64], patients: NDArray[np.intp]) -> float:
    """Return the correlation of two images of one patient, cut to [0, 1]; 0 where no patient has two.

    `values` (N,): with a mean of 0. `patients` (N,): numbers. It is the mean product over all pairs of images
    of one patient, over the mean square of all.
    """
    sums, sizes = np.bincount(patients, values), np.bincount(patients)
    square = float((values * values).sum())
    pairs = int((sizes * (sizes - 1)).sum())
    if not pairs or not square:
        return 0.0
    return min(1.0, max(0.0, (float((sums * sums).sum()) - square) / pairs / (square / values.size)))


def likeness(truth: NDArray[np.bool_], scores: NDArray[np.float64], clusters: Clusters) -> float:
    """Return how alike two images of a patient rank within their class, from 0 to 1.

    Both classes tell it together, as one may have a handful of images; ranks within the class leave out how
    far the classes are apart.
    """
    if clusters.either == truth.size:
        return 0.0
    ranks = [(mid_ranks(scores[of]) - 0.5) / np.count_nonzero(of) - 0.5 for of in (truth, ~truth)]
    of_images = np.concatenate([clusters.of_positive, clusters.of_negative])
    return intraclass_correlation(np.concatenate(ranks), of_images)


def effective_number(patients: NDArray[np.intp], correlation: float) -> float:
    """Return how many independent images are worth as much as those of `patients` (N,), by Kish's formula."""
    sizes = np.bincount(patients)
    return patients.size / (1 + correlation * (float((sizes * sizes).sum()) / patients.size - 1))
