"""Sensitivity at a fixed specificity and the reverse: by hand, and how often the interval holds."""

import numpy as np
import pytest
from coverage_of_means import fixed_coverage
from sklearn.metrics import roc_curve

from workers.metrics.fixed import Fixed, FixedPoint, at_fixed

TRUTH = np.array([0, 0, 0, 0, 1, 0, 1, 1]) == 1
SCORES = np.array([0.1, 0.2, 0.3, 0.4, 0.35, 0.8, 0.6, 0.9])
ALONE = np.arange(8)


def test_eight_images_by_hand() -> None:
    # Of five negatives, four lie below 0.6: a specificity of 0.8, and two of three positives are called.
    found = at_fixed(TRUTH, SCORES, ALONE, "specificity", 0.8)
    assert found.threshold == 0.6
    assert found.value == pytest.approx(2 / 3)
    # All three positives lie at 0.35 or above, as do two of five negatives.
    found = at_fixed(TRUTH, SCORES, ALONE, "sensitivity", 0.9)
    assert found.threshold == 0.35
    assert found.value == pytest.approx(3 / 5)


def test_a_missing_class_and_a_level_out_of_reach_are_named() -> None:
    assert at_fixed(np.ones(3, np.bool_), np.arange(3.0), np.arange(3), "specificity").reason
    alike = at_fixed(np.arange(4) < 2, np.full(4, 0.5), np.arange(4), "specificity")
    assert alike == FixedPoint(reason="no threshold has a specificity of 0.9")


@pytest.mark.parametrize("fixed", ["specificity", "sensitivity"])
def test_the_figure_is_the_best_on_scikit_learns_curve(fixed: Fixed) -> None:
    rng = np.random.default_rng(3)
    truth = rng.random(500) < 0.3
    scores = np.round(rng.normal(size=500) + truth, 1)
    false_alarms, hits, _ = roc_curve(truth, scores, drop_intermediate=False)
    best = (
        hits[1 - false_alarms >= 0.9].max() if fixed == "specificity" else 1 - false_alarms[hits >= 0.9].min()
    )
    found = at_fixed(truth, scores, np.arange(500), fixed)
    assert found.value == pytest.approx(best)
    assert found.low is not None
    assert found.high is not None
    assert found.low < best < found.high


@pytest.mark.parametrize("fixed", ["specificity", "sensitivity"])
@pytest.mark.parametrize("layout", ["one image per patient", "three alike"])
def test_the_interval_holds_the_truth_with_a_hundred_positive_images(layout: str, fixed: Fixed) -> None:
    held = fixed_coverage(layout, 100, 0.9, fixed=fixed, sets=400, seed=1)
    assert held is not None
    assert 0.925 <= held <= 0.985


def test_few_images_have_a_figure_without_an_interval_and_the_reason() -> None:
    rng = np.random.default_rng(4)
    truth = np.arange(230) < 30
    scores = rng.normal(size=230) + 2 * truth
    found = at_fixed(truth, scores, np.arange(230), "sensitivity")
    assert found.value is not None
    assert (found.low, found.high) == (None, None)
    assert found.reason == "positive images are worth fewer than 35 independent ones: no interval"
    of_few = at_fixed(truth, scores, np.where(truth, np.arange(230) % 9, np.arange(230)), "specificity")
    assert of_few.value is not None
    assert (of_few.low, of_few.high) == (None, None)
    assert of_few.reason == "fewer than 10 patients with positive images: no interval"
    assert at_fixed(truth, scores, np.arange(230), "specificity").low is not None
