"""The mean of a value per image: how often its interval by patient holds the truth."""

import numpy as np
import pytest
from coverage_of_means import brier_coverage, iou_coverage
from scipy.stats import t

from workers.metrics.averages import ENOUGH, brier_interval, mean_interval


@pytest.mark.parametrize(
    ("layout", "positives"),
    [("one image per patient", 30), ("three alike", 100), ("three, two of them positive", 100)],
)
def test_the_briers_interval_holds_the_truth(layout: str, positives: int) -> None:
    held = brier_coverage(layout, positives, 0.9, sets=600, seed=1)
    assert held is not None
    assert 0.93 <= held <= 0.975  # a share of 600 is off by 0.009


@pytest.mark.parametrize(("layout", "number"), [("one image per patient", 30), ("three alike", 100)])
def test_the_ious_interval_holds_the_truth_where_most_maps_miss(layout: str, number: int) -> None:
    held = iou_coverage(layout, number, 0.6, sets=600, seed=1)
    assert held is not None
    assert 0.925 <= held <= 0.98


def test_with_one_image_per_patient_it_is_students_on_the_logarithms_scale() -> None:
    values = np.random.default_rng(0).random(50)
    low, high = mean_interval(values, np.arange(50))
    error = values.std(ddof=1) / 50**0.5 / values.mean()
    assert low is not None
    assert high is not None
    ratio = np.exp(t.ppf(0.975, 49) * error)
    assert (low, high) == pytest.approx((values.mean() / ratio, values.mean() * ratio))


def test_copies_of_the_images_tell_nothing_new() -> None:
    rng = np.random.default_rng(1)
    truth, p = np.arange(200) < 60, rng.random(200)
    patients = np.arange(200)
    once = brier_interval(truth, p, patients)
    thrice = brier_interval(np.tile(truth, 3), np.tile(p, 3), np.tile(patients, 3))
    assert once[0] is not None
    assert thrice == pytest.approx(once)


def test_few_patients_or_values_that_are_alike_have_none() -> None:
    truth, p = np.arange(100) < ENOUGH - 1, np.full(100, 0.3)
    assert brier_interval(truth, p, np.arange(100)) == (None, None)
    spread, perfect = np.arange(100) / 99, np.repeat([1.0, 0.0], 50)
    assert brier_interval(np.arange(100) < 50, spread, np.repeat(np.arange(10), 10)) == (None, None)
    assert brier_interval(np.arange(100) < 50, perfect, np.arange(100)) == (None, None)
    assert mean_interval(np.zeros(40), np.arange(40)) == (None, None)
    assert mean_interval(np.ones(0), np.arange(0)) == (None, None)
