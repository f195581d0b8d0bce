"""What is called positive at a threshold, and how sure the shares are."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
    roc_curve,
)
from statsmodels.stats.proportion import proportion_confint

from workers.metrics.shares import clustered_wilson, wilson
from workers.metrics.thresholds import (
    Confusion,
    at_thresholds,
    confusion,
    known_images,
    missing_class,
)

LABELS = np.array([1, 1, 1, 0, 0, 0, 0], np.int8)
P = np.array([0.9, 0.5, 0.4, 0.5, 0.3, 0.4, 0.1])
FIGURES = {field for field in Confusion.__dataclass_fields__ if field not in {"threshold", "reason"}}

images = st.lists(st.tuples(st.sampled_from([0, 1]), st.integers(0, 8)), min_size=1, max_size=30)


def simulated(n: int, seed: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.2).astype(np.int8)
    p = 1 / (1 + np.exp(1.5 - rng.normal(size=n) - 1.2 * labels))
    return labels, np.round(p, 3).astype(np.float32)


def test_calls_of_seven_images_worked_by_hand() -> None:
    # At 0.5: hits 0.9 and 0.5, a miss 0.4, a false alarm 0.5 and three rejections.
    at = confusion(LABELS, P, 0.5)
    assert (at.tp, at.fp, at.tn, at.fn) == (2, 1, 3, 1)
    assert (at.sensitivity, at.specificity, at.ppv, at.npv) == (2 / 3, 3 / 4, 2 / 3, 3 / 4)
    assert at.f1 == pytest.approx(2 / 3)
    assert (at.accuracy, at.prevalence) == (5 / 7, 3 / 7)
    assert at.reason is None


@pytest.mark.parametrize("threshold", [0.05, 0.25, 0.5])
def test_figures_are_scikit_learns(threshold: float) -> None:
    labels, p = simulated(3_000, 0)
    at, called = confusion(labels, p, threshold), p.astype(np.float64) >= threshold
    assert [at.tn, at.fp, at.fn, at.tp] == confusion_matrix(labels, called).ravel().tolist()
    assert at.sensitivity == pytest.approx(recall_score(labels, called))
    assert at.specificity == pytest.approx(recall_score(labels, called, pos_label=0))
    assert at.ppv == pytest.approx(precision_score(labels, called))
    assert at.npv == pytest.approx(precision_score(labels, called, pos_label=0))
    assert at.f1 == pytest.approx(f1_score(labels, called))
    assert at.accuracy == pytest.approx(accuracy_score(labels, called))
    assert at.prevalence == pytest.approx(labels.mean())


def test_wilson_intervals_are_the_published_ones() -> None:
    # R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3.
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (part, whole), interval in published.items():
        assert wilson(part, whole) == pytest.approx(interval, abs=5e-5)
    assert wilson(0, 0) == (None, None)


@given(st.integers(1, 100_000), st.floats(0, 1))
@settings(deadline=None)
def test_wilson_interval_is_statsmodels(whole: int, share: float) -> None:
    for part in (round(share * whole), share * whole):  # images, and what they are worth
        low, high = proportion_confint(part, whole, method="wilson")
        assert wilson(part, whole) == (min(part / whole, low), max(part / whole, high))


@given(st.integers(0, 400), st.integers(1, 400))
@settings(deadline=None)
def test_wilson_interval_holds_its_share_and_mirrors(part: int, whole: int) -> None:
    part = min(part, whole)
    low, high = wilson(part, whole)
    assert low is not None
    assert high is not None
    assert 0 <= low <= part / whole <= high <= 1
    assert wilson(whole - part, whole) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_each_share_has_the_interval_of_its_own_counts() -> None:
    at = confusion(LABELS, P, 0.45)
    assert (at.sensitivity_low, at.sensitivity_high) == wilson(2, 3)
    assert (at.specificity_low, at.specificity_high) == wilson(3, 4)
    assert (at.ppv_low, at.ppv_high) == wilson(2, 3)
    assert (at.npv_low, at.npv_high) == wilson(3, 4)
    low = confusion(LABELS, P, 0.2)  # 3 hits, 3 false alarms, 1 rejection
    assert (low.ppv_low, low.ppv_high) == wilson(3, 6)
    assert (low.npv_low, low.npv_high) == wilson(1, 1)


def test_images_of_one_patient_count_together_in_each_share() -> None:
    labels, p = simulated(400, 5)
    alone = confusion(labels, p, 0.25, np.arange(400))
    assert alone == confusion(labels, p, 0.25)
    thrice = confusion(np.repeat(labels, 3), np.repeat(p, 3), 0.25, np.repeat(np.arange(400), 3))
    assert (thrice.tp, thrice.fn) == (3 * (alone.tp or 0), 3 * (alone.fn or 0))
    for share in ("sensitivity", "specificity", "ppv", "npv"):
        for bound in ("", "_low", "_high"):
            # Copies of the same images tell nothing new.
            assert getattr(thrice, share + bound) == pytest.approx(getattr(alone, share + bound), abs=1e-12)
    assert (
        thrice.sensitivity_low
        == clustered_wilson(
            np.array([3] * (alone.tp or 0) + [0] * (alone.fn or 0)),
            np.full((alone.tp or 0) + (alone.fn or 0), 3),
        )[0]
    )


def test_patients_whose_images_differ_are_worth_more_than_one_image_each() -> None:
    # Each patient has a hit and a miss: nothing alike, but ten patients' worth of doubt remains.
    low, high = clustered_wilson(np.ones(30, int), np.full(30, 2))
    assert low is not None
    assert high is not None
    narrow, wide = wilson(30, 60), wilson(15, 30)
    assert (wide[0] or 0) < low < (narrow[0] or 0)
    assert high == pytest.approx(1 - low)
    # Sensitivity 1: how alike the images are cannot be seen, and each patient counts once.
    assert clustered_wilson(np.full(8, 3), np.full(8, 3)) == pytest.approx(wilson(8, 8))
    assert clustered_wilson(np.array([], int), np.array([], int)) == (None, None)


def test_threshold_is_compared_as_sql_compares_the_stored_number() -> None:
    stored = np.array([0.7, 0.7], np.float32)  # 0.699999988 as a double
    assert confusion(np.array([0, 1]), stored, 0.7).tp == 0
    assert confusion(np.array([0, 1]), stored, float(stored[0])).tp == 1


@pytest.mark.parametrize(
    ("labels", "threshold", "undefined", "reason"),
    [
        ([1, 1], 0.5, {"specificity"}, "no negative image"),
        ([0, 0], 0.5, {"sensitivity", "f1"}, "no positive image"),
        ([0, 1], 0.95, {"ppv"}, "no image is called positive"),
        ([0, 1], 0.05, {"npv"}, "no image is called negative"),
        ([0, 0], 0.95, {"sensitivity", "f1", "ppv"}, "no positive image; no image is called positive"),
    ],
)
def test_undefined_figures_are_none_with_the_reason(
    labels: list[int], threshold: float, undefined: set[str], reason: str
) -> None:
    at = confusion(np.array(labels), np.array([0.2, 0.7]), threshold)
    bounds = {f"{name}_{end}" for name in undefined - {"f1"} for end in ("low", "high")}
    assert {name for name, value in asdict(at).items() if value is None} == undefined | bounds
    assert at.reason == reason


@pytest.mark.parametrize(
    ("labels", "p", "reason"),
    [
        ([], [], "no labelled image"),
        ([-1, -1], [0.2, 0.7], "no labelled image"),
        ([0, 1], [0.2, np.nan], "NaN"),
    ],
)
def test_nothing_to_judge_gives_a_reason_at_each_kind(labels: list[int], p: list[float], reason: str) -> None:
    rows = at_thresholds(np.array(labels), np.array(p), card=0.3, wanted_sensitivity=0.9)
    assert {kind: row.threshold for kind, row in rows.items()} == {
        "card": 0.3,
        "0.5": 0.5,
        "youden": None,
        "sensitivity": None,
    }
    for row in rows.values():
        assert row.reason is not None
        assert reason in row.reason
        assert all(getattr(row, name) is None for name in FIGURES)


def test_unknown_labels_are_left_out_with_their_probabilities() -> None:
    labels, p = np.array([*LABELS, -1, np.nan]), np.array([*P, np.nan, 1])
    assert at_thresholds(labels, p, card=0.2) == at_thresholds(LABELS, P, card=0.2)


def test_kinds_of_seven_images_worked_by_hand() -> None:
    # Sensitivity and specificity from the highest cut: 0.9: 1/3, 1; 0.5: 2/3, 3/4; 0.4: 1, 1/2; 0.3: 1, 1/4.
    # At 0.4 Youden's index is 1/2, at 0.5 5/12, at 0.9 1/3.
    rows = at_thresholds(LABELS, P, card=0.35, wanted_sensitivity=0.6)
    assert {kind: row.threshold for kind, row in rows.items()} == {
        "card": 0.35,
        "0.5": 0.5,
        "youden": 0.4,
        "sensitivity": 0.5,
    }
    assert rows["youden"] == confusion(LABELS, P, 0.4)
    assert at_thresholds(LABELS, P, card=None, wanted_sensitivity=1)["sensitivity"].threshold == 0.4


def test_no_threshold_has_a_reason() -> None:
    rows = at_thresholds(LABELS, P, card=None)
    assert rows["card"] == Confusion(None, reason="the card has no threshold")
    assert rows["sensitivity"] == Confusion(None, reason="no sensitivity is asked for")
    assert rows["youden"].reason is None


@pytest.mark.parametrize(("label", "reason"), [(0, "no positive image"), (1, "no negative image")])
def test_one_class_has_no_youden(label: int, reason: str) -> None:
    rows = at_thresholds(np.full(3, label), P[:3], card=None, wanted_sensitivity=0.5)
    assert (rows["youden"].threshold, rows["youden"].reason) == (None, reason)
    # Sensitivity needs positive images only.
    assert rows["sensitivity"].threshold == (0.5 if label else None)


def test_ties_everywhere_leave_one_cut() -> None:
    rows = at_thresholds(LABELS, np.full(7, 0.3), card=None, wanted_sensitivity=0.9)
    assert rows["youden"].threshold == rows["sensitivity"].threshold == 0.3
    assert rows["youden"].sensitivity == 1


@pytest.mark.parametrize("seed", range(3))
def test_youden_is_the_best_point_of_scikit_learns_roc(seed: int) -> None:
    labels, p = simulated(2_000, seed)
    fpr, tpr, cuts = roc_curve(labels, p.astype(np.float64), drop_intermediate=False)
    youden = at_thresholds(labels, p, card=None)["youden"]
    assert youden.threshold == cuts[np.argmax(tpr - fpr)]
    assert youden.sensitivity is not None
    assert youden.specificity is not None
    assert youden.sensitivity + youden.specificity - 1 == pytest.approx(np.max(tpr - fpr))


@given(images, st.floats(0.01, 1))
@settings(deadline=None)
def test_wanted_sensitivity_is_reached_and_by_no_higher_cut(
    drawn: list[tuple[int, int]], wanted: float
) -> None:
    labels, p = np.array([a for a, _ in drawn]), np.array([b for _, b in drawn]) / 8
    row = at_thresholds(labels, p, card=None, wanted_sensitivity=wanted)["sensitivity"]
    if not labels.any():
        assert (row.threshold, row.reason) == (None, "no positive image")
        return
    assert row.sensitivity is not None
    assert row.sensitivity >= wanted
    assert row.threshold is not None
    higher = [cut for cut in p if cut > row.threshold]
    assert all((p[labels == 1] >= cut).mean() < wanted for cut in higher)


@pytest.mark.parametrize("wanted", [0.1, 0.3, 0.6, 0.7, 0.9])
def test_wanted_sensitivity_that_is_just_reached_is_reached(wanted: float) -> None:
    p = np.arange(10, 0, -1) / 10
    row = at_thresholds(np.ones(10), p, card=None, wanted_sensitivity=wanted)["sensitivity"]
    assert row.tp == round(10 * wanted)


@given(images, st.floats(0, 1), st.floats(0, 1))
@settings(deadline=None)
def test_higher_threshold_calls_no_more_positive(
    drawn: list[tuple[int, int]], first: float, second: float
) -> None:
    labels, p = np.array([a for a, _ in drawn]), np.array([b for _, b in drawn]) / 8
    low, high = (confusion(labels, p, cut) for cut in sorted([first, second]))
    for at in (low, high):
        assert None not in {at.tp, at.fp, at.tn, at.fn}
        assert (at.tp or 0) + (at.fn or 0) == labels.sum()
        assert (at.tp or 0) + (at.fn or 0) + (at.fp or 0) + (at.tn or 0) == labels.size
    assert (high.tp or 0) <= (low.tp or 0)
    assert (high.fp or 0) <= (low.fp or 0)


def test_known_images_gives_truth_scores_and_what_is_wrong() -> None:
    truth, (a, b), reason = known_images(np.array([1, -1, 0]), P[:3], np.array([1, 2, 3]))
    assert (truth.tolist(), a.tolist(), b.tolist()) == ([True, False], [0.9, 0.4], [1, 3])
    assert reason is None
    assert missing_class(truth) is None
    assert missing_class(truth[:1]) == "no negative image"
    assert missing_class(truth[1:]) == "no positive image"
    assert missing_class(truth[:0]) == "no labelled image"


def test_programming_errors_are_raised() -> None:
    with pytest.raises(ValueError, match="do not match"):
        confusion(LABELS, P[:3], 0.5)
    with pytest.raises(ValueError, match="do not match"):
        confusion(LABELS[:, None], P[:, None], 0.5)
    with pytest.raises(ValueError, match="none of 0, 1"):
        confusion(LABELS + 1, P, 0.5)
    with pytest.raises(ValueError, match="threshold is NaN"):
        confusion(LABELS, P, np.nan)
    with pytest.raises(ValueError, match="threshold is NaN"):
        at_thresholds(LABELS, P, card=np.nan)
    for wanted in (0, 1.1, np.nan):
        with pytest.raises(ValueError, match="wanted sensitivity"):
            at_thresholds(LABELS, P, card=None, wanted_sensitivity=wanted)
