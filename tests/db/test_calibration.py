"""Platt's calibration as SQLite computes it; that both databases agree is tested with the evaluations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from db.calibration import platt


@given(st.floats(0.01, 5), st.floats(-5, 5), st.floats(0.001, 0.999))
def test_the_logit_is_the_fits_line(slope: float, intercept: float, p: float) -> None:
    assert platt(slope, intercept, p) == pytest.approx(float(expit(slope * logit(p) + intercept)))


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_slope_1_and_intercept_0_change_nothing(p: float) -> None:
    assert platt(1, 0, p) == pytest.approx(p, abs=1e-7)


@given(st.floats(0.01, 5), st.floats(-5, 5), st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_positive_slope_keeps_the_order(slope: float, intercept: float, drawn: list[float]) -> None:
    calibrated = [platt(slope, intercept, p) for p in sorted(drawn)]
    assert calibrated == sorted(calibrated)
    assert all(0 <= p <= 1 for p in calibrated)
