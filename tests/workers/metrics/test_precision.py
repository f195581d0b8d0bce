"""The average precision: scikit-learn's figure, and how often its interval holds the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interval_coverage import precision_coverage, true_precision
from sklearn.metrics import average_precision_score

from workers.metrics.precision import AveragePrecision, _influences, average_precision


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.1, 0.5, 1.0])), min_size=1, max_size=30)
)
@settings(deadline=None, max_examples=300)
def test_the_figure_is_scikit_learns_also_with_ties(images: list[tuple[bool, float]]) -> None:
    truth, scores = (np.array(column) for column in zip(*images, strict=True))
    found = average_precision(truth, scores, np.arange(truth.size))
    if not truth.any():
        assert found == AveragePrecision()
    else:
        assert found.value == pytest.approx(average_precision_score(truth, scores), abs=1e-12)


def test_influences_are_what_an_image_more_changes() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(400) < 100
    scores = np.round(rng.normal(size=400) + truth, 1)
    value, positive, negative = _influences(truth, scores)
    for image, influence, of_class in ((3, positive, truth), (250, negative, ~truth)):
        # The image weighs a thousandth more within its class, and the classes weigh the same.
        weight = np.ones(400)
        weight[image] += 0.001 * of_class.sum()
        weight[of_class] /= weight[of_class].mean()
        changed = average_precision_score(truth, scores, sample_weight=weight) - value
        place = np.flatnonzero(of_class).tolist().index(image)
        assert changed / 0.001 == pytest.approx(influence[place] - influence.mean(), rel=0.02)


def test_few_positive_images_have_no_interval_and_ten_have() -> None:
    truth = np.arange(50) < 9
    found = average_precision(truth, np.linspace(1, 0, 50), np.arange(50))
    assert found == AveragePrecision(1.0)
    found = average_precision(np.arange(50) < 10, np.linspace(1, 0, 50), np.arange(50))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low is not None
    assert 0.6 < found.low < 0.8, "ten of ten that are right"


def test_a_class_of_one_patient_or_none_has_no_interval() -> None:
    truth, scores = np.arange(40) < 20, np.linspace(1, 0, 40)
    assert average_precision(truth, scores, np.where(truth, 0, np.arange(40))).low is None
    assert average_precision(truth, scores, np.where(truth, np.arange(40), 0)).low is None
    assert average_precision(np.ones(40, np.bool_), scores, np.arange(40)) == AveragePrecision(1.0)


def test_copies_of_the_images_tell_nothing_new() -> None:
    rng = np.random.default_rng(1)
    truth = np.arange(600) < 200
    scores, patients = rng.normal(size=600) + truth, np.arange(600)
    alone = average_precision(truth, scores, patients)
    thrice = average_precision(np.repeat(truth, 3), np.repeat(scores, 3), np.repeat(patients, 3))
    assert (thrice.value, thrice.low, thrice.high) == pytest.approx(
        (alone.value, alone.low, alone.high), abs=2e-3
    )


def test_the_true_figure_of_scores_without_skill_is_the_share_of_positive_images() -> None:
    assert true_precision(0.5, 0.3) == pytest.approx(0.3, abs=1e-6)


@pytest.mark.parametrize("layout", ["one image per patient", "three alike", "three, two of them positive"])
@pytest.mark.parametrize(("positives", "area"), [(10, 0.8), (100, 0.9)])
def test_the_interval_holds_the_truth_as_often_as_it_says(layout: str, positives: int, area: float) -> None:
    share = precision_coverage(layout, positives, area, sets=300, seed=1)
    assert share is not None
    assert share >= 0.91  # 1.3% is the standard error of 300 sets
