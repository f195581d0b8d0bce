"""The paired comparison of two models, and the correction for many findings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interval_coverage import false_alarms
from numpy.typing import NDArray
from scipy.stats import norm
from statsmodels.stats.multitest import multipletests

from workers.metrics.auroc import delong
from workers.metrics.compare import Comparison, compare_aurocs, holm

# The example of DeLong, DeLong and Clarke-Pearson (1988), the patients with all three tests, as in the manual
# of SAS/STAT, "Comparing Receiver Operating Characteristic Curves": albumin, total protein, K-G score (which
# the manual subtracts from 10), outcome (0 is the event). Low albumin, low protein and a high score foretell.
OVARIAN = np.fromstring(
    """
    3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1
    3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0
    2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1
    3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0
    3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1
    3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1
    """,
    sep=" ",
).reshape(-1, 4)

pairs = st.lists(
    st.tuples(st.sampled_from([0, 1]), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20
)


def simulated(n: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Draw labels and the scores of a good and of a worse model, which agree in part, with ties."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(np.int64)
    common = rng.normal(size=n)
    good = common + rng.normal(size=n) + 1.5 * labels
    worse = common + rng.normal(size=n) + labels
    first, second = (np.asarray(np.round(scores, 1), np.float64) for scores in (good, worse))
    return labels, first, second


def by_definition(labels: NDArray[np.int64], *scores: NDArray[np.int64]) -> tuple[float, float]:
    """Return the difference and its variance by the matrices of the 1988 paper, O(mn)."""
    v10, v01 = [], []
    for answers in scores:
        x, y = answers[labels == 1], answers[labels == 0]
        psi = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
        v10.append(psi.mean(axis=1))
        v01.append(psi.mean(axis=0))
    contrast = np.array([1.0, -1.0])
    s = np.cov(v10) / len(v10[0]) + np.cov(v01) / len(v01[0])
    return float(v10[0].mean() - v10[1].mean()), float(contrast @ s @ contrast)


@pytest.mark.parametrize(
    ("column", "sign", "auroc", "error", "difference", "difference_error", "chi_square", "p"),
    [
        (0, -1, 0.7366, 0.0927, 0.0108, 0.0953, 0.0127, 0.9102),
        (1, -1, 0.6478, 0.1000, -0.0780, 0.1046, 0.5554, 0.4561),
    ],
)
def test_published_example(
    column: int,
    sign: int,
    auroc: float,
    error: float,
    difference: float,
    difference_error: float,
    chi_square: float,
    p: float,
) -> None:
    labels, kg = (OVARIAN[:, 3] == 0).astype(np.int64), OVARIAN[:, 2]
    result = compare_aurocs(labels, sign * OVARIAN[:, column], kg)
    assert (result.n_positive, result.n_negative) == (12, 31)
    assert (result.auroc_a, result.auroc_b) == pytest.approx((auroc, 0.7258), abs=5e-5)
    alone = delong(labels, sign * OVARIAN[:, column]).variance
    assert alone is not None
    assert alone**0.5 == pytest.approx(error, abs=5e-5)
    assert result.variance is not None
    assert result.variance**0.5 == pytest.approx(difference_error, abs=5e-5)
    assert result.difference == pytest.approx(difference, abs=5e-5)
    assert result.z is not None
    assert result.z**2 == pytest.approx(chi_square, abs=5e-5)
    # The manual's p is of the normal distribution; with so few cases the product exchanges scores.
    assert 2 * norm.sf(abs(result.z)) == pytest.approx(p, abs=5e-5)
    assert result.test == "exchange"
    assert result.p == pytest.approx(p, abs=0.03)


@given(pairs)
@settings(deadline=None, max_examples=200)
def test_ranks_give_the_definitions_numbers_whatever_the_ties(drawn: list[tuple[int, int, int]]) -> None:
    labels, a, b = (np.array(column) for column in zip(*drawn, strict=True))
    result = compare_aurocs(labels, a, b)
    m = int(labels.sum())
    if min(m, labels.size - m) < 2:
        assert (result.p, result.variance) == (None, None)
        assert result.reason
        return
    difference, variance = by_definition(labels, a, b)
    assert (result.difference, result.variance) == pytest.approx((difference, variance), abs=1e-12)
    if variance > 1e-12:
        assert result.z == pytest.approx(difference / variance**0.5)
    else:
        assert result.variance == 0  # exactly


@given(pairs)
@settings(deadline=None)
def test_swapping_the_models_turns_the_sign(drawn: list[tuple[int, int, int]]) -> None:
    labels, a, b = (np.array(column) for column in zip(*drawn, strict=True))
    straight, other = compare_aurocs(labels, a, b), compare_aurocs(labels, b, a)
    assert (straight.p, straight.variance, straight.reason) == (other.p, other.variance, other.reason)
    if straight.difference is None:
        assert other.difference is None
    else:
        assert other.difference == -straight.difference
    if straight.ci_low is not None:
        assert other.ci_high == -straight.ci_low


def test_interval_agrees_with_ten_thousand_bootstraps() -> None:
    labels, a, b = simulated(250, 0)
    result = compare_aurocs(labels, a, b)
    classes = [np.flatnonzero(labels == value) for value in (1, 0)]
    rng = np.random.default_rng(1)
    psi = [
        (answers[classes[0]][:, None] > answers[classes[1]][None, :])
        + 0.5 * (answers[classes[0]][:, None] == answers[classes[1]][None, :])
        for answers in (a, b)
    ]
    difference = psi[0] - psi[1]
    m, n = difference.shape
    rows = rng.multinomial(m, np.full(m, 1 / m), 10_000) / m
    columns = rng.multinomial(n, np.full(n, 1 / n), 10_000) / n
    resampled = np.einsum("kn,kn->k", rows @ difference, columns)
    assert result.variance is not None
    assert np.var(resampled) == pytest.approx(result.variance, rel=0.05)
    assert (result.ci_low, result.ci_high) == pytest.approx(np.quantile(resampled, [0.025, 0.975]), abs=0.008)


def test_p_is_two_sided_and_the_interval_follows_the_confidence() -> None:
    labels, a, b = simulated(1200, 2)
    result, narrow = compare_aurocs(labels, a, b), compare_aurocs(labels, a, b, confidence=0.9)
    assert result.p is not None
    assert 0 < result.p < 0.05
    assert result.ci_low is not None
    assert narrow.ci_low is not None
    assert 0 < result.ci_low < narrow.ci_low
    # The interval that just touches 0 is the one of confidence 1 - p.
    assert compare_aurocs(labels, a, b, confidence=1 - result.p).ci_low == pytest.approx(0, abs=1e-12)


def test_images_of_one_patient_count_together() -> None:
    labels, a, b = simulated(1200, 6)
    alone = compare_aurocs(labels, a, b)
    assert compare_aurocs(labels, a, b, patients=np.arange(1200)) == alone
    thrice = np.repeat(labels, 3), np.repeat(a, 3), np.repeat(b, 3)
    together = compare_aurocs(*thrice, patients=np.repeat(np.arange(1200), 3))
    assert (together.difference, together.variance, together.z) == pytest.approx(
        (alone.difference, alone.variance, alone.z), rel=1e-9
    )
    # Student's t of some 800 degrees of freedom, in place of the normal distribution.
    assert together.p is not None
    assert alone.p is not None
    assert alone.p < together.p < alone.p + 0.01
    assert (compare_aurocs(*thrice).p or 0) < alone.p


def test_class_of_one_patient_has_a_difference_without_a_test() -> None:
    labels, a = np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.5, 0.1])
    result = compare_aurocs(labels, a, -a, patients=np.array([0, 0, 1, 2]))
    assert (result.difference, result.ci_low, result.p) == (0.5, None, None)
    assert result.reason == "the images of a class are of one patient"


def test_test_by_patient_is_wrong_as_often_as_it_says() -> None:
    # 10 patients with positive images. The standard error of 400 sets is 1.1%.
    share = false_alarms("three alike", 30, 0.8, sets=400, seed=0)
    assert 0.02 <= share <= 0.085


def test_far_apart_models_have_a_p_that_is_not_0() -> None:
    labels = np.repeat([0, 1], 2_000)
    rng = np.random.default_rng(3)
    result = compare_aurocs(labels, labels + rng.normal(size=4_000), rng.normal(size=4_000))
    assert result.p is not None
    assert 0 < result.p < 1e-30


def test_models_that_rank_alike_do_not_differ() -> None:
    labels, a, _ = simulated(300, 4)
    result = compare_aurocs(labels, a, np.exp(a))
    assert (result.difference, result.ci_low, result.ci_high) == (0, 0, 0)
    assert (result.variance, result.z, result.p, result.reason) == (0, None, 1, None)


def test_difference_without_variance_has_a_p_and_no_interval() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1])
    for other in (-labels, np.zeros(6)):
        result = compare_aurocs(labels, labels, other)
        assert (result.variance, result.z, result.ci_low, result.ci_high) == (0, None, None, None)
        assert result.reason == "the difference has no variance: no interval"
        # All six images take part in the difference: of 64 exchanges, two differ as much.
        assert result.p == pytest.approx(2 / 64, abs=0.01)
    apart = compare_aurocs(labels, labels + np.arange(6) / 10, labels - np.arange(6) / 10)
    assert (apart.difference, apart.ci_low, apart.p) == (0, None, 1)
    assert compare_aurocs(labels, np.ones(6), np.zeros(6)).p == 1


def test_the_test_is_named_and_follows_the_cases() -> None:
    labels, a, b = simulated(2000, 8)
    many = compare_aurocs(labels, a, b)
    assert many.test == "delong"
    assert many.z is not None
    assert many.p == pytest.approx(2 * norm.sf(abs(many.z)))
    assert compare_aurocs(labels, a, b, patients=np.arange(2000) // 2).test == "obuchowski"
    few = compare_aurocs(labels[:150], a[:150], b[:150])
    assert few.test == "exchange"


@pytest.mark.parametrize(
    ("labels", "a", "counts", "reason"),
    [
        ([], [], (0, 0), "no labelled image"),
        ([-1, -1], [1, 2], (0, 0), "no labelled image"),
        ([1, 1], [1, 2], (2, 0), "no negative image"),
        ([0, 0], [1, 2], (0, 2), "no positive image"),
        ([0, 1], [1, np.nan], (1, 1), "a score of a labelled image is NaN"),
    ],
)
def test_no_comparison_has_a_reason(
    labels: list[int], a: list[float], counts: tuple[int, int], reason: str
) -> None:
    expected = Comparison(*counts, reason=reason)
    zeros = np.zeros(len(labels))
    assert compare_aurocs(np.array(labels), np.array(a), zeros) == expected
    assert compare_aurocs(np.array(labels), zeros, np.array(a)) == expected


def test_single_image_of_a_class_has_a_difference_without_interval() -> None:
    result = compare_aurocs(np.array([1, 0, 0, -1]), np.array([2, 1, 1, np.nan]), np.array([1, 2, 1, 0]))
    assert (result.auroc_a, result.auroc_b, result.difference) == (1, 0.25, 0.75)
    assert (result.ci_low, result.p, result.reason) == (None, None, "a class has a single image")


def test_programming_errors_are_raised() -> None:
    labels, a, b = simulated(10, 5)
    with pytest.raises(ValueError, match="do not match"):
        compare_aurocs(labels, a, b[:3])
    with pytest.raises(ValueError, match="confidence"):
        compare_aurocs(labels, a, b, confidence=95)


# --- Holm


def test_holm_worked_by_hand() -> None:
    # In order 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.04 x 1, none less than the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_undefined_p_is_passed_over_and_counts_for_nothing() -> None:
    assert holm([None, 0.01, np.nan, 0.04]) == [None, pytest.approx(0.02), None, pytest.approx(0.04)]
    assert holm([None]) == [None]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=14))
@settings(deadline=None, max_examples=25)
def test_corrected_p_is_no_smaller_and_keeps_the_order(p_values: list[float]) -> None:
    corrected = holm(p_values)
    order = np.argsort(p_values, kind="stable")
    steps = np.array(p_values)[order] * np.arange(len(p_values), 0, -1)
    expected = np.minimum(1, np.maximum.accumulate(steps))
    assert [corrected[index] for index in order] == pytest.approx(expected.tolist())
    assert corrected == multipletests(p_values, method="holm")[1].tolist()
    assert all(
        after is not None and after >= before for before, after in zip(p_values, corrected, strict=True)
    )
