"""The AUROC's interval by resampling patients."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from workers.metrics.auroc import delong
from workers.metrics.bootstrap import bootstrap_auroc


def simulated(
    n: int, seed: int, images: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Draw n patients; the images of one have the same label and nearly the same score."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(np.int64)
    scores = np.round(rng.normal(size=n) + labels, 2)
    repeated = np.repeat(scores, images) + rng.normal(scale=0.01, size=n * images)
    return np.repeat(labels, images), repeated, np.repeat(np.arange(n), images)


def test_interval_is_that_of_copies_scored_by_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    scores = np.round(rng.normal(size=60) + labels, 1)  # with ties
    patients = rng.integers(0, 20, 60)
    # Numbered in order of appearance, as the draws are.
    appearance = {name: i for i, name in enumerate(dict.fromkeys(patients.tolist()))}
    draws = np.random.default_rng(7)
    areas = []
    for _ in range(200):
        drawn = draws.integers(len(appearance), size=len(appearance))
        images = np.concatenate(
            [np.flatnonzero([appearance[name] == patient for name in patients.tolist()]) for patient in drawn]
        )
        areas.append(roc_auc_score(labels[images], scores[images]))
    result = bootstrap_auroc(labels, scores, patients, resamples=200, seed=7)
    assert result.auroc == pytest.approx(roc_auc_score(labels, scores))
    assert (result.ci_low, result.ci_high) == pytest.approx(np.quantile(areas, [0.025, 0.975]), abs=1e-12)
    assert (result.patients, result.resamples, result.used, result.reason) == (
        len(appearance),
        200,
        200,
        None,
    )


def test_delongs_interval_agrees_with_ten_thousand_resamples_of_images() -> None:
    labels, scores, _ = simulated(300, 3)
    interval = delong(labels, scores)
    result = bootstrap_auroc(labels, scores, np.arange(300), resamples=10_000, seed=1)
    assert result.used == 10_000
    assert (result.ci_low, result.ci_high) == pytest.approx((interval.ci_low, interval.ci_high), abs=0.006)


def test_images_of_one_patient_are_not_independent() -> None:
    labels, scores, patients = simulated(150, 4, images=4)
    by_patient = bootstrap_auroc(labels, scores, patients)
    by_image = bootstrap_auroc(labels, scores, np.arange(labels.size))
    assert by_patient.ci_high is not None
    assert by_patient.ci_low is not None
    assert by_image.ci_high is not None
    assert by_image.ci_low is not None
    # Four copies of an image tell nothing new: the standard error is that of a quarter of the images.
    ratio = (by_patient.ci_high - by_patient.ci_low) / (by_image.ci_high - by_image.ci_low)
    assert ratio == pytest.approx(2, rel=0.15)


def test_seed_decides_the_interval() -> None:
    labels, scores, patients = simulated(80, 5)
    assert bootstrap_auroc(labels, scores, patients, seed=3) == bootstrap_auroc(
        labels, scores, patients, seed=3
    )
    assert bootstrap_auroc(labels, scores, patients, seed=3) != bootstrap_auroc(
        labels, scores, patients, seed=4
    )


def test_image_without_patient_is_its_own() -> None:
    labels, scores, _ = simulated(6, 6)
    labels[:2] = 0, 1
    for patients in (
        np.array(["a", None, "a", None, "b", np.nan], dtype=object),
        np.array([1, np.nan, 1, np.nan, 2, np.nan]),
    ):
        assert bootstrap_auroc(labels, scores, patients, resamples=5).patients == 5


def test_wider_confidence_is_a_wider_interval() -> None:
    labels, scores, patients = simulated(80, 7)
    wide = bootstrap_auroc(labels, scores, patients)
    narrow = bootstrap_auroc(labels, scores, patients, confidence=0.9)
    assert wide.ci_low is not None
    assert narrow.ci_low is not None
    assert wide.ci_low < narrow.ci_low


@given(
    st.lists(
        st.tuples(st.sampled_from([-1, 0, 1]), st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=30
    )
)
@settings(deadline=None)
def test_interval_lies_in_0_to_1_and_the_area_is_delongs(drawn: list[tuple[int, int, int]]) -> None:
    labels, scores, patients = (np.array(column) for column in zip(*drawn, strict=True))
    result = bootstrap_auroc(labels, scores, patients, resamples=40)
    known = labels != -1
    assert result.patients == np.unique(patients[known]).size
    expected = delong(labels[known], scores[known]).auroc
    assert result.auroc == (None if expected is None else pytest.approx(expected))
    if result.ci_low is None:
        assert result.ci_high is None
        assert result.reason
    else:
        assert result.ci_high is not None
        assert 0 <= result.ci_low <= result.ci_high <= 1


@pytest.mark.parametrize(
    ("labels", "scores", "patients", "area", "reason"),
    [
        ([], [], [], None, "no labelled image"),
        ([0, 0], [0.1, 0.2], [1, 2], None, "no positive image"),
        ([1, 1], [0.1, 0.2], [1, 2], None, "no negative image"),
        ([0, 1], [0.1, np.nan], [1, 2], None, "a score of a labelled image is NaN"),
        ([0, 1], [0.1, 0.2], [1, 1], 1.0, "one patient only"),
        ([0, 1], [0.1, 0.2], [1, 2], 1.0, "resamples lack a class"),
    ],
)
def test_no_interval_has_a_reason(
    labels: list[int], scores: list[float], patients: list[Any], area: float | None, reason: str
) -> None:
    result = bootstrap_auroc(np.array(labels), np.array(scores), np.array(patients), resamples=100)
    assert (result.auroc, result.ci_low, result.ci_high) == (area, None, None)
    assert result.reason is not None
    assert reason in result.reason


@pytest.mark.parametrize(("factor", "area"), [(0.5, 1.0), (0.0, 0.5)])
def test_resamples_that_do_not_differ_give_no_interval(factor: float, area: float) -> None:
    labels = np.repeat([1, 0], [25, 75])
    result = bootstrap_auroc(labels, factor * labels, np.arange(100), resamples=50)
    assert (result.auroc, result.ci_low, result.ci_high) == (area, None, None)
    assert result.reason == "resamples of these patients do not differ"


def test_programming_errors_are_raised() -> None:
    labels, scores, patients = simulated(5, 9)
    with pytest.raises(ValueError, match="patients"):
        bootstrap_auroc(labels, scores, patients[:2])
    with pytest.raises(ValueError, match="do not match"):
        bootstrap_auroc(labels, scores[:2], patients)
    with pytest.raises(ValueError, match="0 resamples"):
        bootstrap_auroc(labels, scores, patients, resamples=0)
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_auroc(labels, scores, patients, confidence=95)
