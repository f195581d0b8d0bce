"""Whether a probability means what it says, and Platt's correction of one that does not."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from db.calibration import platt
from workers.metrics.calibration import Calibration, Platt, bin_intervals, calibrate, fit_platt
from workers.metrics.shares import clustered_wilson, wilson


def simulated(
    n: int, seed: int, slope: float = 1.0, intercept: float = 0.0
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Draw probabilities, and labels whose log odds are slope * logit(p) + intercept."""
    rng = np.random.default_rng(seed)
    x = rng.normal(-1, 1.5, n)
    return (rng.random(n) < expit(slope * x + intercept)).astype(np.int8), expit(x)


def test_four_images_worked_by_hand() -> None:
    result = calibrate(np.array([0, 1, 1, 0]), np.array([0.01, 0.02, 0.97, 1.0]))
    assert result.brier == pytest.approx((0.01**2 + 0.98**2 + 0.03**2 + 1) / 4)
    # Two bins, of 20, with two images: a mean of 0.015 and one of 0.985, half of each positive.
    assert result.expected_error == pytest.approx(0.485)
    (only,) = result.bins
    assert (only.lower, only.upper, only.n, only.observed) == (0, 1, 4, 0.5)
    assert only.mean_probability == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(3))
def test_error_and_brier_are_scikit_learns(seed: int) -> None:
    labels, p = simulated(5_000, seed)
    result = calibrate(labels, p)
    observed, means = calibration_curve(labels, p, n_bins=20, strategy="uniform")
    counts = np.histogram(p, bins=20, range=(0, 1))[0]
    assert result.expected_error == pytest.approx(counts[counts > 0] @ np.abs(observed - means) / labels.size)
    assert result.brier == pytest.approx(brier_score_loss(labels, p))


@pytest.mark.parametrize(("images", "bins"), [(5, 1), (19, 1), (20, 2), (57, 5), (100, 10), (5_000, 10)])
def test_bins_hold_equally_many_images_and_are_scikit_learns_by_quantile(images: int, bins: int) -> None:
    labels, p = simulated(images, seed=1)
    found = calibrate(labels, p).bins
    assert len(found) == bins
    assert max(bin_.n for bin_ in found) - min(bin_.n for bin_ in found) <= 1
    assert (found[0].lower, found[-1].upper) == (0, 1)
    assert all(earlier.upper == later.lower for earlier, later in pairwise(found))
    if images == 5_000:
        observed, means = calibration_curve(labels, p, n_bins=bins, strategy="quantile")
        assert [bin_.observed for bin_ in found] == pytest.approx(observed, abs=0.005)
        assert [bin_.mean_probability for bin_ in found] == pytest.approx(means, abs=0.002)


def test_equal_probabilities_are_in_one_bin() -> None:
    p = np.repeat([0.0, 0.2, 1.0], [60, 3, 37])
    found = calibrate(np.zeros(100, dtype=int), p).bins
    assert [(bin_.lower, bin_.upper, bin_.n) for bin_ in found] == [(0.0, 0.2, 60), (0.2, 1.0, 40)]


def test_each_bin_has_wilsons_interval_by_patient() -> None:
    labels = np.array([1, 0] * 5 + [1, 0] * 5 + [-1])
    p = np.array([0.01] * 10 + [0.52] * 10 + [0.99])
    patients = np.array([*range(10), *(20, 20, 21, 21, 22, 22, 23, 23, 24, 24), 20])
    first, second = bin_intervals(labels, calibrate(labels, p), patients)
    assert first == wilson(5, 10)
    assert second == clustered_wilson(np.array([1] * 5), np.array([2] * 5))
    assert bin_intervals(labels[-1:], calibrate(labels[-1:], p[-1:]), np.array([3])) == []


@given(st.lists(st.tuples(st.sampled_from([-1, 0, 1]), st.floats(0, 1, width=32)), min_size=1, max_size=40))
@settings(deadline=None)
def test_each_known_image_is_in_one_bin_and_the_error_is_a_share(
    drawn: list[tuple[int, float]],
) -> None:
    labels, p = np.array([a for a, _ in drawn]), np.array([b for _, b in drawn], np.float32)
    result = calibrate(labels, p)
    known = int((labels != -1).sum())
    assert sum(bin_.n for bin_ in result.bins) == known
    for bin_ in result.bins:
        held = p.astype(np.float64)[labels != -1]
        upper = held <= bin_.upper if bin_.upper == 1 else held < bin_.upper
        assert bin_.n == np.count_nonzero((held >= bin_.lower) & upper)
    if known:
        assert result.expected_error is not None
        assert 0 <= result.expected_error <= 1
    else:
        assert result == Calibration(None, None, (), "no labelled image")


def test_one_class_and_nan() -> None:
    assert calibrate(np.array([0, 0]), np.array([0.0, 0.0])).expected_error == 0
    assert calibrate(np.array([1, 1]), np.array([0.0, 0.0])).expected_error == 1
    result = calibrate(np.array([0, 1]), np.array([0.5, np.nan]))
    assert (result.brier, result.bins, result.reason) == (None, (), "a score of a labelled image is NaN")


# --- Platt


def test_fit_is_statsmodels_binomial_regression_on_platts_targets() -> None:
    from statsmodels.api import GLM, add_constant, families

    labels, p = simulated(800, 0, slope=0.6, intercept=0.4)
    m, n = int(labels.sum()), int((labels == 0).sum())
    targets = np.where(labels == 1, (m + 1) / (m + 2), 1 / (n + 2))
    intercept, slope = GLM(targets, add_constant(logit(p)), family=families.Binomial()).fit(tol=1e-12).params
    fitted = fit_platt(labels, p)
    assert (fitted.slope, fitted.intercept) == pytest.approx((slope, intercept), abs=1e-6)
    assert (fitted.n_positive, fitted.n_negative, fitted.reason) == (m, n, None)


def test_fit_finds_what_the_labels_were_drawn_with() -> None:
    fitted = fit_platt(*simulated(100_000, 1, slope=0.5, intercept=-1.0))
    assert (fitted.slope, fitted.intercept) == pytest.approx((0.5, -1.0), abs=0.05)


def test_calibrated_probabilities_are_calibrated() -> None:
    labels, p = simulated(50_000, 2, slope=0.5, intercept=-1.0)
    fitted = fit_platt(labels, p)
    assert fitted.slope is not None
    assert fitted.intercept is not None
    calibrated = np.array([platt(fitted.slope, fitted.intercept, raw) for raw in p.tolist()])
    before, after = calibrate(labels, p), calibrate(labels, calibrated)
    assert before.expected_error is not None
    assert after.expected_error is not None
    assert before.expected_error > 0.1
    assert after.expected_error < 0.01
    assert calibrated.mean() == pytest.approx(labels.mean(), abs=1e-3)


def test_separated_classes_and_probabilities_of_0_and_1_have_a_finite_fit() -> None:
    p = np.array([0.0, 0.0, 1.0, 1.0])
    fitted = fit_platt(np.array([0, 0, 1, 1]), p)
    assert fitted.slope is not None
    assert fitted.intercept is not None
    # Platt's targets of two and two images are 1/4 and 3/4, which two distinct logits fit exactly.
    calibrated = [platt(fitted.slope, fitted.intercept, raw) for raw in p.tolist()]
    assert calibrated == pytest.approx([0.25, 0.25, 0.75, 0.75])


@pytest.mark.parametrize(
    ("labels", "p", "expected"),
    [
        ([], [], Platt(None, None, 0, 0, "no labelled image")),
        ([-1], [0.4], Platt(None, None, 0, 0, "no labelled image")),
        ([0, 0], [0.2, 0.4], Platt(None, None, 0, 2, "no positive image")),
        ([1, 1], [0.2, 0.4], Platt(None, None, 2, 0, "no negative image")),
        ([0, 1], [0.2, np.nan], Platt(None, None, 1, 1, "a score of a labelled image is NaN")),
        ([0, 1, 1], [0.2, 0.2, 0.2], Platt(None, None, 2, 1, "all probabilities are equal")),
    ],
)
def test_no_fit_has_a_reason(labels: list[int], p: list[float], expected: Platt) -> None:
    assert fit_platt(np.array(labels), np.array(p)) == expected


def test_programming_errors_are_raised() -> None:
    for judge in (calibrate, fit_platt):
        with pytest.raises(ValueError, match="do not match"):
            judge(np.array([0, 1]), np.array([0.5]))
        with pytest.raises(ValueError, match="outside"):
            judge(np.array([0, 1]), np.array([0.5, 1.5]))
