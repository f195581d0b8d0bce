"""ROC and precision-recall curves, and what thinning may not change."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from workers.metrics.curves import (
    MOST_POINTS,
    Curve,
    precision_band,
    precision_recall,
    roc,
    roc_band,
)
from workers.metrics.shares import wilson
from workers.metrics.thresholds import confusion

LABELS = np.array([1, 1, 1, 0, 0, 0, 0], np.int8)
SCORES = np.array([0.9, 0.5, 0.4, 0.5, 0.3, 0.4, 0.1])
WHOLE = {roc: roc_curve, precision_recall: precision_recall_curve}


def between(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(np.trapezoid(y, x))


def whole_area(kind: Callable[..., Curve], labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Return the area under straight lines between all points, by scikit-learn's curves."""
    if kind is roc:
        return float(roc_auc_score(labels, scores))
    precision, recall, _ = (values[::-1] for values in precision_recall_curve(labels, scores))
    levels, first = np.unique(recall, return_index=True)
    height = precision[first]
    height[0] = height[1]
    return between(levels, height)


def test_seven_images_worked_by_hand() -> None:
    curve = roc(LABELS, SCORES)
    assert curve.x == pytest.approx((0, 0, 1 / 2, 1))
    assert curve.y == pytest.approx((0, 1 / 3, 1, 1))
    # 0.5 lies on the straight piece from 0.9 to 0.4, and 0.3 on the one from 0.4 to 0.1.
    assert curve.thresholds == (None, 0.9, 0.4, 0.1)
    assert curve.area == pytest.approx(10 / 12)
    curve = precision_recall(LABELS, SCORES)
    assert curve.x == pytest.approx((0, 1 / 3, 2 / 3, 1, 1))
    assert curve.y == pytest.approx((1, 1, 2 / 3, 3 / 5, 3 / 7))
    assert curve.thresholds == (None, 0.9, 0.5, 0.4, 0.1)
    assert curve.area == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


@pytest.mark.parametrize(("n", "prevalence"), [(150, 0.3), (5_000, 0.3), (20_000, 0.003), (20_000, 0.9)])
@pytest.mark.parametrize("seed", range(3))
def test_area_is_scikit_learns_and_the_kept_points_are_of_its_curve(
    n: int, prevalence: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < prevalence).astype(np.int64)
    scores = np.asarray(np.round(rng.normal(size=n) + 1.2 * labels, 3), np.float64)
    for kind in WHOLE:
        curve = kind(labels, scores)
        assert len(curve.x) == len(curve.y) == len(curve.thresholds) <= MOST_POINTS
        area = between(np.array(curve.x), np.array(curve.y))
        assert area == pytest.approx(whole_area(kind, labels, scores), abs=1e-3)
    all_points = {*zip(*(axis.tolist() for axis in roc_curve(labels, scores)), strict=True)}
    assert {*zip(*_points(roc(labels, scores)), strict=True)} - all_points == {(0.0, 0.0, None)}
    assert roc(labels, scores).area == pytest.approx(roc_auc_score(labels, scores))
    assert precision_recall(labels, scores).area == pytest.approx(average_precision_score(labels, scores))
    for x, y, threshold in list(zip(*_points(roc(labels, scores)), strict=True))[1:]:
        assert threshold is not None
        called = scores >= threshold
        assert (x, y) == pytest.approx((called[labels == 0].mean(), called[labels == 1].mean()))
    for x, y, threshold in list(zip(*_points(precision_recall(labels, scores)), strict=True))[1:]:
        assert threshold is not None
        called = scores >= threshold
        assert (x, y) == pytest.approx((called[labels == 1].mean(), labels[called].mean()))


def _points(curve: Curve) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float | None, ...]]:
    return curve.x, curve.y, curve.thresholds


@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(10, 300),
    st.booleans(),
    st.booleans(),
    st.integers(0, 5),
)
@settings(deadline=None, max_examples=60)
def test_staircases_keep_their_area_and_ends(
    up: int, across: int, stairs: int, reverse: bool, tied: bool, flips: int
) -> None:
    labels = np.tile([1] * up + [0] * across, stairs)[:: -1 if reverse else 1].copy()
    rng = np.random.default_rng(flips)
    rng.shuffle(labels[: flips * labels.size // 10])
    scores = -(np.arange(labels.size) // (up + across if tied else 1)).astype(np.float64)
    for kind in WHOLE:
        curve = kind(labels, scores)
        assert len(curve.x) <= MOST_POINTS
        area = between(np.array(curve.x), np.array(curve.y))
        assert area == pytest.approx(whole_area(kind, labels, scores), abs=1e-3)
        assert np.all(np.diff(curve.x) >= 0)
        assert curve.thresholds[0] is None
        assert np.all(np.diff(np.array(curve.thresholds[1:], np.float64)) < 0)
        assert (curve.x[0], curve.x[-1]) == (0, 1)
        assert curve.thresholds[-1] == scores.min()
    assert (roc(labels, scores).y[0], roc(labels, scores).y[-1]) == (0, 1)
    assert precision_recall(labels, scores).y[-1] == pytest.approx(labels.mean())


def test_ties_everywhere_and_perfect_scores() -> None:
    flat = roc(LABELS, np.full(7, 0.3))
    assert (flat.x, flat.y, flat.thresholds, flat.area) == ((0, 1), (0, 1), (None, 0.3), 0.5)
    assert precision_recall(LABELS, np.full(7, 0.3)).area == pytest.approx(3 / 7)
    perfect = roc(LABELS, LABELS.astype(np.float64))
    assert (perfect.x, perfect.y, perfect.area) == ((0, 0, 1), (0, 1, 1), 1)


@pytest.mark.parametrize(
    ("labels", "scores", "reason"),
    [
        ([], [], "no labelled image"),
        ([-1, -1], [0.1, 0.2], "no labelled image"),
        ([0, 0], [0.1, 0.2], "no positive image"),
        ([0, 1], [0.1, np.nan], "a score of a labelled image is NaN"),
    ],
)
def test_no_curve_has_a_reason(labels: list[int], scores: list[float], reason: str) -> None:
    for kind in WHOLE:
        assert kind(np.array(labels), np.array(scores)) == Curve((), (), (), None, reason)


def test_without_a_negative_image_there_is_precision_and_no_roc() -> None:
    assert roc(np.ones(3), SCORES[:3]).reason == "no negative image"
    curve = precision_recall(np.ones(3), SCORES[:3])
    assert (set(curve.y), curve.reason) == ({1.0}, None)
    assert curve.area == pytest.approx(1)


def test_unknown_labels_are_left_out() -> None:
    for kind in WHOLE:
        assert kind(np.append(LABELS, -1), np.append(SCORES, 0.7)) == kind(LABELS, SCORES)
        with pytest.raises(ValueError, match="do not match"):
            kind(LABELS, SCORES[:2])


def test_bands_of_seven_images_are_wilsons() -> None:
    alone = np.arange(7)
    sensitivity = roc_band(roc(LABELS, SCORES), LABELS, SCORES, alone)
    assert sensitivity == [wilson(0, 3), wilson(1, 3), wilson(3, 3), wilson(3, 3)]
    precision = precision_band(precision_recall(LABELS, SCORES), LABELS, SCORES, alone)
    assert precision == [(None, None), wilson(1, 1), wilson(2, 3), wilson(3, 5), wilson(3, 7)]


def test_bands_are_the_intervals_of_the_threshold_table_by_patient() -> None:
    rng = np.random.default_rng(5)
    patients = rng.integers(0, 120, 500)
    labels = (rng.random(500) < 0.3).astype(np.int8)
    labels[::50] = -1
    scores = (rng.normal(size=500) + 1.2 * labels + 0.5 * (patients % 7)).astype(np.float32)
    for curve, band, name in (
        (roc(labels, scores), roc_band, "sensitivity"),
        (precision_recall(labels, scores), precision_band, "ppv"),
    ):
        bounds = band(curve, labels, scores, patients)
        assert len(bounds) == len(curve.y)
        for threshold, (low, high) in list(zip(curve.thresholds, bounds, strict=True))[1::20]:
            assert threshold is not None
            calls = confusion(labels, scores, threshold, patients)
            assert (low, high) == (getattr(calls, f"{name}_low"), getattr(calls, f"{name}_high"))
