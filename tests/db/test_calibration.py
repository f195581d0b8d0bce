"""Platt's calibration as SQLite computes it; that both databases agree is tested with the evaluations."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from support import close_run, make_run, score_batches

from config.settings import Settings
from db.calibration import images_fitted, platt
from db.database import Database
from jobs.submit import Order, submit


@given(st.floats(0.01, 5), st.floats(-5, 5), st.floats(0.001, 0.999))
def test_the_logit_is_the_fits_line(slope: float, intercept: float, p: float) -> None:
    assert platt(slope, intercept, p) == pytest.approx(float(expit(slope * logit(p) + intercept)))


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_slope_1_and_intercept_0_change_nothing(p: float) -> None:
    assert platt(1, 0, p) == pytest.approx(p, abs=1e-7)


def test_images_that_a_calibration_was_fitted_on_are_counted(sqlite: Database, tmp_path: Path) -> None:
    first = make_run(sqlite, tmp_path, 6)
    score_batches(sqlite, tmp_path / "models", first)
    fitted = close_run(sqlite, first)
    others = tmp_path / "others.csv"
    others.write_text("Image\nother.png\n00000002_000.png\n", encoding="utf-8")
    other = submit(sqlite, Settings(home=tmp_path), Order(others, tmp_path, "stub"))
    with sqlite.read() as connection:
        assert images_fitted(connection, first, fitted) == 6
        assert images_fitted(connection, other, fitted) == 1


@given(st.floats(0.01, 5), st.floats(-5, 5), st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_positive_slope_keeps_the_order(slope: float, intercept: float, drawn: list[float]) -> None:
    calibrated = [platt(slope, intercept, p) for p in sorted(drawn)]
    assert calibrated == sorted(calibrated)
    assert all(0 <= p <= 1 for p in calibrated)
