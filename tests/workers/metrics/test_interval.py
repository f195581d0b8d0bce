"""The AUROC's interval: whose method, by patient, and how often it holds the truth."""

import numpy as np
import pytest
from interval_coverage import coverage
from numpy.typing import NDArray
from scipy.stats import norm

from workers.metrics.auroc import delong, placements
from workers.metrics.interval import Interval, _Model, auroc_interval

ONE_PATIENT = "the {} images are of one patient: no interval"


Images = tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.intp]]


def simulated(positives: int, negatives: int, images: int, seed: int) -> Images:
    """Draw images of patients who have `images` each, of either label, with scores that tie."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(positives + negatives) < positives
    patients = np.arange(truth.size) // images
    own, shared = rng.normal(size=(2, truth.size))
    return truth, np.round(own + shared[patients] + truth, 1).astype(np.float64), patients


def thrice(images: Images) -> Images:
    truth, scores, patients = images
    return np.repeat(truth, 3), np.repeat(scores, 3), np.repeat(patients, 3)


def bounds(images: Images) -> tuple[float, float]:
    found = auroc_interval(*images)
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


@pytest.mark.parametrize("scores", [[1.0, 0.9] + [0.1] * 58, [0.1, 0.2] + [0.9] * 58, [0.5] * 60])
def test_two_positives_that_are_perfectly_ranked_have_an_interval_with_width(scores: list[float]) -> None:
    found = auroc_interval(np.arange(60) < 2, np.array(scores), np.arange(60))
    assert found.auroc in {0.0, 0.5, 1.0}
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low > 0.3
    assert found.low <= found.auroc <= found.high
    assert (found.method, found.reason) == ("score", None)


def test_more_cases_that_are_perfectly_ranked_are_more_certain() -> None:
    lows = [
        bounds((np.arange(n + 200) < n, np.repeat([1.0, 0.0], [n, 200]), np.arange(n + 200)))[0]
        for n in (2, 5, 30, 300)
    ]
    assert lows == sorted(lows)
    assert lows[-1] > 0.98
    assert lows[0] < 0.7


def test_reversed_scores_mirror_the_interval() -> None:
    truth, scores, patients = simulated(12, 60, 3, 1)
    low, high = bounds((truth, scores, patients))
    assert bounds((truth, -scores, patients)) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_many_cases_have_delongs_own_interval() -> None:
    truth, scores, _ = simulated(400, 600, 1, 2)
    found, expected = auroc_interval(truth, scores, np.arange(1000)), delong(truth.astype(int), scores)
    assert found.method == "delong"
    assert (found.auroc, found.low, found.high) == pytest.approx(
        (expected.auroc, expected.ci_low, expected.ci_high), abs=1e-12
    )


def test_images_of_one_patient_count_together() -> None:
    alone = simulated(400, 600, 1, 3)
    together = thrice(alone)
    assert auroc_interval(*together).method == "obuchowski"
    # Copies of the same images tell nothing new.
    low, high = bounds(together)
    assert (low, high) == pytest.approx(bounds(alone), abs=2e-3)
    narrow_low, narrow_high = bounds((*together[:2], np.arange(3000)))
    assert high - low == pytest.approx(3**0.5 * (narrow_high - narrow_low), rel=0.01)


def test_few_copies_are_counted_once_by_the_score_interval_too() -> None:
    alone = simulated(6, 60, 1, 4)
    assert auroc_interval(*thrice(alone)).method == "score"
    assert bounds(thrice(alone)) == pytest.approx(bounds(alone), abs=0.02)


def test_the_models_variance_is_that_of_normal_scores_and_of_newcombes() -> None:
    # P(one negative ranks below two positives) of normal scores, by integration over the negative's score.
    area, m, n = 0.85, 20, 70
    grid = np.linspace(-8, 8, 20_001)
    above = norm.sf(grid - 2**0.5 * norm.ppf(area))
    normal = float(np.trapezoid(above**2 * norm.pdf(grid), grid)) - area**2
    # Newcombe's method 5: Hanley and McNeil's variance with the mean of the two numbers for either.
    exponential = (area / (2 - area) + 2 * area**2 / (1 + area)) / 2 - area**2
    pairs = 0.7 * normal + 0.3 * exponential
    expected = (area * (1 - area) + (m + n - 2) * pairs) / (m * n)
    assert _Model(m, n, 0.0).variance(area) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("truth", "patients", "expected"),
    [
        ([1, 1], [0, 1], Interval(reason="no negative image")),
        ([], [], Interval(reason="no labelled image")),
        ([1, 0, 0], [0, 1, 2], Interval(1.0, reason="a class has a single image: no interval")),
        (
            [1, 1, 0, 0],
            [0, 0, 1, 2],
            Interval(1.0, reason=ONE_PATIENT.format("positive")),
        ),
        (
            [1, 1, 0, 0],
            [0, 1, 2, 2],
            Interval(1.0, reason=ONE_PATIENT.format("negative")),
        ),
    ],
)
def test_no_interval_has_a_reason(truth: list[int], patients: list[int], expected: Interval) -> None:
    labels = np.array(truth, dtype=bool)
    assert auroc_interval(labels, labels * 1.0, np.array(patients, dtype=np.intp)) == expected


def test_nonsense_is_refused() -> None:
    truth, scores, patients = simulated(5, 5, 1, 0)
    with pytest.raises(ValueError, match="confidence"):
        auroc_interval(truth, scores, patients, confidence=95)
    with pytest.raises(ValueError, match="NaN"):
        auroc_interval(truth, np.full(10, np.nan), patients)


@pytest.mark.parametrize("layout", ["one image per patient", "three alike", "three, two of them positive"])
@pytest.mark.parametrize(("positives", "area"), [(5, 0.9), (10, 0.7), (30, 0.97)])
def test_interval_holds_the_truth_as_often_as_it_says(layout: str, positives: int, area: float) -> None:
    # DeLong's, by patient too, held it in 59 to 92% of these. The standard error of 400 sets is 1.1%.
    share, method = coverage(layout, positives, area, sets=400, seed=1)
    assert method == "score"
    assert share is not None
    assert 0.925 <= share <= 0.99


def test_placements_of_the_cases_are_delongs() -> None:
    truth, scores, _ = simulated(30, 40, 1, 5)
    components = placements(truth.astype(int), scores)
    found = auroc_interval(truth, scores, np.arange(70))
    assert found.cases == pytest.approx(30 * min(components.positive.mean(), 1 - components.positive.mean()))
