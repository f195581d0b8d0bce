"""The mean of a measure over cases, with an interval by patient, and what it leaves out."""

import numpy as np
import pytest

from workers.metrics.cases import case_mean


def test_cases_without_the_measure_are_counted_and_left_out() -> None:
    found = case_mean([0.5, None, 0.7, 0.9], ["a", "b", "c", "d"])
    assert (found.cases, found.left_out) == (3, 1)
    assert found.mean == pytest.approx(0.7)
    assert found.median == pytest.approx(0.7)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.7 < found.high
    assert found.reason is None


@pytest.mark.parametrize(
    ("values", "patients", "reason"),
    [
        ([None, None], ["a", "b"], "defined in no case"),
        ([0.5, 0.7], ["a", "a"], "one patient only"),
        ([0.5, 0.5, 0.5], ["a", "b", "c"], "resamples of these patients do not differ"),
    ],
)
def test_without_an_interval_there_is_a_reason(
    values: list[float | None], patients: list[str], reason: str
) -> None:
    found = case_mean(values, patients)
    assert (found.low, found.high, found.reason) == (None, None, reason)


def test_cases_of_one_patient_are_drawn_together() -> None:
    random = np.random.default_rng(3)
    levels = random.uniform(0.2, 0.9, 20)
    values = [float(level) for level in levels for _ in range(5)]
    together = case_mean(values, [f"p{number // 5}" for number in range(100)])
    apart = case_mean(values, [None] * 100)
    assert together.mean == apart.mean
    assert together.low is not None
    assert together.high is not None
    assert apart.low is not None
    assert apart.high is not None
    assert together.high - together.low > 1.8 * (apart.high - apart.low)


def test_the_interval_covers_the_mean_of_a_normal_population_95_times_of_100() -> None:
    random = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        found = case_mean(random.normal(0.7, 0.1, 40).tolist(), [None] * 40)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.7 <= found.high
    assert 180 <= covered <= 198
