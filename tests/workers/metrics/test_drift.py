"""A shift is a size with a test: both by hand, and against SciPy's own."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import fisher_exact, ks_2samp

from workers.metrics.drift import LEAST_IMAGES, Side, shift_of_shares, shift_of_values

RANDOM = np.random.default_rng(17)


def alone(values: NDArray[np.generic]) -> Side:
    """Values of as many patients."""
    return Side(values.astype(np.float64), np.arange(values.size))


def test_a_night_like_its_baseline_has_a_small_index_and_a_large_p() -> None:
    values = alone(np.linspace(0, 1, 1000))
    shift = shift_of_values(values, values)
    assert shift.psi == pytest.approx(0, abs=1e-12)
    assert (shift.ks, shift.p) == (0, 1)
    assert shift.value == shift.value_baseline == pytest.approx(0.5)


def test_the_test_of_values_is_that_of_kolmogorov_and_smirnov() -> None:
    night, baseline = RANDOM.normal(0.3, size=60), RANDOM.normal(size=90)
    shift = shift_of_values(alone(night), alone(baseline))
    expected = ks_2samp(night, baseline, method="asymp")
    assert shift.ks == expected.statistic
    assert shift.p == pytest.approx(expected.pvalue)


def test_the_index_is_the_sum_over_the_baselines_tenths() -> None:
    full, empty, tenth = 100.5 / 105, 0.5 / 105, 0.1
    by_hand = (full - tenth) * np.log(full / tenth) + 9 * (empty - tenth) * np.log(empty / tenth)
    shift = shift_of_values(alone(np.full(100, 95.0)), alone(np.arange(100.0)))
    assert shift.psi == pytest.approx(by_hand)


def test_the_test_of_shares_is_fishers() -> None:
    shift = shift_of_shares(alone(np.arange(50) < 30), alone(np.arange(200) < 60))
    assert (shift.value, shift.value_baseline, shift.ks) == (0.6, 0.3, None)
    assert shift.p == pytest.approx(fisher_exact(np.array([[20, 30], [140, 60]])).pvalue)


def test_three_equal_images_of_each_patient_are_worth_one() -> None:
    night, baseline = RANDOM.normal(0.3, size=60), RANDOM.normal(size=90)
    thrice = [
        Side(np.repeat(values, 3), np.repeat(np.arange(values.size), 3)) for values in (night, baseline)
    ]
    once = shift_of_values(alone(night), alone(baseline))
    shift = shift_of_values(*thrice)
    assert (shift.n, shift.n_baseline) == (180, 270)
    assert shift.ks == pytest.approx(once.ks)
    assert shift.p == pytest.approx(once.p, rel=0.01)
    over = [Side((side.values > 0).astype(np.float64), side.patients) for side in thrice]
    assert shift_of_shares(*over).p == pytest.approx(
        shift_of_shares(alone(night > 0), alone(baseline > 0)).p, rel=0.01
    )


def test_unknown_values_are_left_out_and_counted_out() -> None:
    night = alone(np.where(np.arange(100) < 40, np.nan, 1.0))
    shift = shift_of_values(night, alone(np.ones(100)))
    assert (shift.n, shift.n_baseline, shift.p) == (60, 100, 1)


@pytest.mark.parametrize("known", [0, LEAST_IMAGES - 1])
def test_of_few_images_there_is_a_reason_and_no_figure(known: int) -> None:
    many, few = alone(np.ones(100)), alone(np.ones(known))
    for shift in (shift_of_values(few, many), shift_of_shares(many, few)):
        assert (shift.psi, shift.p) == (None, None)
        assert shift.reason == "fewer than 30 independent images with a value"
