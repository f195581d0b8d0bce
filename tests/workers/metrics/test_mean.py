"""The mean AUROC's interval: which findings err together, and how often it holds the truth."""

import numpy as np
import pytest
from interval_coverage import mean_coverage
from numpy.typing import NDArray

from workers.metrics.interval import Interval, auroc_interval
from workers.metrics.mean import MeanAuroc, mean_auroc

SIZE = 2_000


def area(seed: int, positives: int = 400, patients: NDArray[np.intp] | None = None) -> Interval:
    rng = np.random.default_rng(seed)
    truth = rng.permutation(SIZE) < positives
    whose = np.arange(SIZE) if patients is None else patients
    return auroc_interval(truth, rng.normal(size=SIZE) + truth, whose)


def width(found: MeanAuroc) -> float:
    assert found.low is not None
    assert found.high is not None
    return found.high - found.low


def test_one_finding_is_its_own_mean() -> None:
    one = area(1)
    found = mean_auroc([one])
    assert (found.auroc, found.low, found.high) == pytest.approx((one.auroc, one.low, one.high), abs=1e-12)
    assert mean_auroc([]) == MeanAuroc(None, None, None)


def test_findings_that_err_together_are_no_more_certain_than_one() -> None:
    one = area(2)
    assert width(mean_auroc([one] * 14)) == pytest.approx(width(mean_auroc([one])), abs=1e-12)


def test_independent_findings_are_more_certain_by_the_root_of_their_number() -> None:
    areas = [area(seed) for seed in range(16)]
    single = np.mean([width(mean_auroc([one])) for one in areas])
    assert width(mean_auroc(areas)) == pytest.approx(single / 4, rel=0.2)


def test_a_finding_that_is_always_right_widens_the_mean_by_its_own_interval() -> None:
    truth = np.arange(SIZE) < 10
    perfect = auroc_interval(truth, truth.astype(np.float64), np.arange(SIZE))
    other = area(3)
    assert not perfect.influence.any()
    found = mean_auroc([perfect, other])
    assert found.auroc == pytest.approx((1 + other.auroc) / 2 if other.auroc else None)
    assert perfect.low is not None
    assert other.low is not None
    assert other.auroc is not None
    down = ((1 - perfect.low) ** 2 + (other.auroc - other.low) ** 2) ** 0.5 / 2
    assert found.low == pytest.approx((1 + other.auroc) / 2 - down)
    assert found.high is not None
    assert found.high <= 1


def test_findings_of_other_patients_are_independent() -> None:
    # The patients of one finding come after those of the other, so that their influences differ in length.
    first, second = area(4), area(5, patients=np.arange(SIZE) + SIZE)
    found = mean_auroc([first, second])
    both = [width(mean_auroc([one])) for one in (first, second)]
    assert width(found) == pytest.approx((both[0] ** 2 + both[1] ** 2) ** 0.5 / 2, rel=1e-6)


@pytest.mark.parametrize("layout", ["one image per patient", "three alike", "three, two of them positive"])
def test_the_interval_holds_the_truth_as_often_as_it_says(layout: str) -> None:
    share = mean_coverage(layout, 500, 0.2, sets=100, seed=1)
    assert share is not None
    assert share >= 0.88  # 2.2% is the standard error of 100 sets


def test_too_few_patients_have_no_mean() -> None:
    assert mean_coverage("three alike", 500, 0.02, sets=1, seed=1) is None
