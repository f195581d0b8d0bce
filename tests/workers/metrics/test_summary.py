"""What the figures of an evaluation mean, on cases small enough for hand-made maths."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from workers.metrics.auroc import Auroc, delong, placements
from workers.metrics.interval import auroc_interval
from workers.metrics.summary import FindingSummary, summarise

POSITIVE = [0.9, 0.5, 0.4]
NEGATIVE = [0.5, 0.3, 0.4, 0.1]
LABELS = np.array([1, 1, 1, 0, 0, 0, 0], np.int8)
COUNTS = ("n_positive", "n_negative", "patients", "without_patient")
SCORES = np.array(POSITIVE + NEGATIVE, np.float32)


def simulated(n: int, seed: int, prevalence: float = 0.2) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Draw labels and rounded probabilities, so that some tie."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < prevalence).astype(np.int8)
    logits = rng.normal(size=n) + 1.2 * labels - 1.5
    return labels, np.round(1 / (1 + np.exp(-logits)), 3).astype(np.float32)


def by_definition(positive: list[float], negative: list[float]) -> tuple[float, float]:
    """Return DeLong's AUROC and variance by the double loop of the 1988 paper, O(mn)."""

    def psi(x: float, y: float) -> float:
        return 1.0 if x > y else 0.5 if x == y else 0.0

    m, n = len(positive), len(negative)
    v10 = [sum(psi(x, y) for y in negative) / n for x in positive]
    v01 = [sum(psi(x, y) for x in positive) / m for y in negative]
    auroc = sum(v10) / m
    s10 = sum((v - auroc) ** 2 for v in v10) / (m - 1)
    s01 = sum((v - auroc) ** 2 for v in v01) / (n - 1)
    return auroc, s10 / m + s01 / n


# --- AUROC


def test_seven_images_worked_by_hand() -> None:
    # 0.9 beats all 4; 0.5 ties once and beats 3; 0.4 ties once, beats 2 and loses once.
    components = placements(LABELS, SCORES)
    assert components.positive.tolist() == pytest.approx([1, 3.5 / 4, 2.5 / 4])
    assert components.negative.tolist() == pytest.approx([1.5 / 3, 1, 2.5 / 3, 1])
    result = delong(LABELS, SCORES)
    assert (result.n_positive, result.n_negative) == (3, 4)
    assert result.auroc == pytest.approx(10 / 12)
    # S10 = 7/192 over 3 positives, S01 = 1/18 over 4 negatives.
    assert result.variance == pytest.approx(7 / 192 / 3 + 1 / 18 / 4)
    assert (result.auroc, result.variance) == pytest.approx(by_definition(POSITIVE, NEGATIVE))


@given(
    st.lists(st.integers(0, 6), min_size=2, max_size=12),
    st.lists(st.integers(0, 6), min_size=2, max_size=12),
)
@settings(deadline=None)
def test_mid_ranks_give_the_double_loops_numbers_whatever_the_ties(
    positive: list[float], negative: list[float]
) -> None:
    labels = np.array([0] * len(negative) + [1] * len(positive))
    result = delong(labels, np.array([*negative, *positive]))
    assert (result.auroc, result.variance) == pytest.approx(by_definition(positive, negative))


@pytest.mark.parametrize("seed", range(5))
def test_auroc_is_scikit_learns(seed: int) -> None:
    labels, scores = simulated(2_000, seed)
    assert delong(labels, scores).auroc == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_interval_is_the_normal_one_at_the_asked_confidence() -> None:
    labels, scores = simulated(500, 0)
    wide, narrow = delong(labels, scores), delong(labels, scores, confidence=0.9)
    assert wide.auroc is not None
    assert wide.variance is not None
    half_widths = np.sqrt(wide.variance) * np.array([1.959964, 1.644854])
    assert [wide.ci_low, narrow.ci_low] == pytest.approx(wide.auroc - half_widths, abs=1e-6)
    assert [wide.ci_high, narrow.ci_high] == pytest.approx(wide.auroc + half_widths, abs=1e-6)


def test_variance_agrees_with_a_bootstrap_within_each_class() -> None:
    labels, scores = simulated(400, 1)
    rng = np.random.default_rng(2)
    classes = [np.flatnonzero(labels == value) for value in (0, 1)]
    resamples = [
        np.concatenate([rng.choice(images, images.size) for images in classes]) for _ in range(2_000)
    ]
    areas = [delong(labels[images], scores[images]).auroc for images in resamples]
    variance = np.var(np.array(areas, np.float64), ddof=1)
    assert delong(labels, scores).variance == pytest.approx(variance, rel=0.12)


def test_interval_is_cut_to_what_an_area_can_be() -> None:
    result = delong(LABELS, SCORES)
    assert result.ci_high == 1.0
    assert result.ci_low is not None
    assert 0 < result.ci_low < 10 / 12
    assert delong(LABELS, -SCORES).ci_low == 0.0


@pytest.mark.parametrize(("scores", "auroc"), [([1, 2, 3, 4], 1.0), ([4, 3, 2, 1], 0.0), ([7, 7, 7, 7], 0.5)])
def test_perfect_reversed_and_constant_scores_are_exact(scores: list[int], auroc: float) -> None:
    assert delong(np.array([0, 0, 1, 1]), np.array(scores)) == Auroc(auroc, auroc, auroc, 2, 2, 0.0)


@pytest.mark.parametrize(("labels", "counts"), [([1, 1], (2, 0)), ([0], (0, 1)), ([], (0, 0))])
def test_one_class_has_counts_and_no_area(labels: list[int], counts: tuple[int, int]) -> None:
    result = delong(np.array(labels, np.int8), np.linspace(0, 1, len(labels)))
    assert result == Auroc(None, None, None, *counts, None)


@pytest.mark.parametrize("labels", [[1, 0, 0, 0], [0, 1, 1, 1]])
def test_single_image_of_a_class_has_an_area_without_interval(labels: list[int]) -> None:
    result = delong(np.array(labels), np.array([0.4, 0.3, 0.6, 0.4]))
    assert result.auroc == pytest.approx(0.5)
    assert (result.ci_low, result.ci_high, result.variance) == (None, None, None)


@pytest.mark.parametrize(
    ("labels", "scores", "words"),
    [
        ([0, 1], [0.1, np.nan], "NaN"),
        ([1, 1], [0.1, np.nan], "NaN"),
        ([0, -1], [0.1, 0.2], "neither"),
        ([0, 2], [0.1, 0.2], "neither"),
        ([0, np.nan], [0.1, 0.2], "neither"),
        ([0, 1], [0.1], "one length"),
        ([[0, 1]], [[0.1, 0.2]], "one length"),
    ],
)
def test_nonsense_is_refused(labels: list[float], scores: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        delong(np.array(labels), np.array(scores))


def test_other_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="confidence"):
        delong(LABELS, SCORES, confidence=95)
    with pytest.raises(ValueError, match="positive and a negative"):
        placements(np.zeros(3), np.zeros(3))


# --- summary


def summary_of(labels: NDArray[Any], p: NDArray[Any], threshold: float | None = 0.5) -> FindingSummary:
    return summarise(labels, p, threshold=threshold).figures


def test_summary_of_seven_images_worked_by_hand() -> None:
    # At 0.5: hits 0.9 and 0.5, a miss 0.4, a false alarm 0.5 and three rejections.
    summary = summary_of(LABELS, SCORES)
    area = auroc_interval(LABELS == 1, SCORES.astype(np.float64), np.arange(7))
    assert asdict(summary) == {
        "n_positive": 3,
        "n_negative": 4,
        "patients": 7,
        "without_patient": 7,
        "auroc": delong(LABELS, SCORES).auroc,
        "ci_low": area.low,
        "ci_high": area.high,
        "ci_method": "score",
        # Recall rises by a third at each of 0.9, 0.5 and 0.4, with 1 of 1, 2 of 3 and 3 of 5 right.
        "average_precision": pytest.approx((1 + 2 / 3 + 3 / 5) / 3),
        "average_precision_low": None,
        "average_precision_high": None,
        "threshold": 0.5,
        "sensitivity": 2 / 3,
        "specificity": 3 / 4,
        "ppv": 2 / 3,
        "npv": 3 / 4,
        "f1": pytest.approx(2 / 3),
        "brier": pytest.approx((0.1**2 + 0.5**2 + 0.6**2 + 0.5**2 + 0.3**2 + 0.4**2 + 0.1**2) / 7),
        "brier_low": None,
        "brier_high": None,
        # 0.4 and 0.5 share their two bins, of 20, by two images each; the others have a bin to themselves.
        "calibration_error": pytest.approx((0.1 + abs(1 - 2 * 0.5) + abs(1 - 2 * 0.4) + 0.3 + 0.1) / 7),
        "bootstrap_low": None,
        "bootstrap_high": None,
        "reason": None,
    }


def test_summary_agrees_with_scikit_learn() -> None:
    labels, p = simulated(3_000, 3)
    summary, called = summary_of(labels, p, 0.25), p >= 0.25
    assert summary.auroc == pytest.approx(roc_auc_score(labels, p))
    assert summary.average_precision == pytest.approx(average_precision_score(labels, p))
    assert summary.brier == pytest.approx(brier_score_loss(labels, p))
    assert summary.sensitivity == pytest.approx(recall_score(labels, called))
    assert summary.specificity == pytest.approx(recall_score(labels, called, pos_label=0))
    assert summary.ppv == pytest.approx(precision_score(labels, called))
    assert summary.npv == pytest.approx(precision_score(labels, called, pos_label=0))
    assert summary.f1 == pytest.approx(f1_score(labels, called))


def test_unknown_labels_are_left_out_with_their_probabilities() -> None:
    labels = np.array([*LABELS, -1, -1], np.int8)
    probabilities = np.array([*SCORES, np.nan, 1], np.float32)
    assert summary_of(labels, probabilities) == summary_of(LABELS, SCORES)


def test_threshold_is_compared_as_sql_compares_the_stored_number() -> None:
    p = np.array([0.7, 0.7], np.float32)  # 0.699999988 as a double
    summary = summary_of(np.array([0, 1], np.int8), p, 0.7)
    assert (summary.sensitivity, summary.specificity) == (0, 1)


def test_probability_at_the_threshold_is_called_positive() -> None:
    summary = summary_of(np.array([0, 1], np.int8), np.array([0.25, 0.5], np.float32), 0.5)
    assert (summary.sensitivity, summary.specificity) == (1, 1)


def test_no_threshold_leaves_its_figures_empty() -> None:
    summary = summary_of(LABELS, SCORES, None)
    assert summary.auroc is not None
    at_threshold = (
        summary.threshold,
        summary.sensitivity,
        summary.specificity,
        summary.ppv,
        summary.npv,
        summary.f1,
    )
    assert at_threshold == (None,) * 6


@pytest.mark.parametrize(
    ("labels", "defined"),
    [
        ([-1, -1], set()),
        ([0, 0], {"specificity", "ppv", "npv", "brier", "calibration_error"}),
        ([1, 1], {"average_precision", "sensitivity", "ppv", "npv", "f1", "brier", "calibration_error"}),
    ],
)
def test_undefined_figures_are_none(labels: list[int], defined: set[str]) -> None:
    summary = asdict(summary_of(np.array(labels, np.int8), np.array([0.2, 0.7], np.float32), 0.5))
    figures = {name for name, figure in summary.items() if figure is not None}
    assert figures == defined | {*COUNTS, "threshold", "reason"}


def test_nothing_called_positive_has_no_ppv_and_an_f1_of_zero() -> None:
    summary = summary_of(LABELS, SCORES, 0.95)
    assert (summary.sensitivity, summary.specificity, summary.ppv, summary.f1) == (0, 1, None, 0)


@pytest.mark.parametrize(
    ("labels", "probabilities", "threshold", "words"),
    [
        ([0, 1], [0.1, 1.5], 0.5, "outside"),
        ([0, 1], [-0.1, 0.5], 0.5, "outside"),
        ([0, 1], [0.1, np.nan], 0.5, "NaN"),
        ([0, 3], [0.1, 0.2], 0.5, "none of 0, 1"),
        ([0, 1], [0.1], 0.5, "do not match"),
        ([0, 1], [0.1, 0.2], np.nan, "threshold"),
    ],
)
def test_summary_refuses_nonsense(
    labels: list[int], probabilities: list[float], threshold: float, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        summary_of(np.array(labels, np.int8), np.array(probabilities, np.float32), threshold)
