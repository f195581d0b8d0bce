"""Patients as numbers, and the variance that counts them instead of their images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from workers.metrics.auroc import delong, placements
from workers.metrics.patients import (
    Clusters,
    count_patients,
    effective_number,
    intraclass_correlation,
    number_patients,
)

images = st.lists(
    st.tuples(st.sampled_from([0, 1]), st.integers(0, 6), st.integers(0, 5)), min_size=4, max_size=30
)


def by_definition(
    truth: NDArray[np.int64], scores: NDArray[np.int64], patients: NDArray[np.int64]
) -> float | None:
    """Return the clustered variance by the loops of the 1997 paper, O(n^2)."""
    positive, negative = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)

    def psi(i: np.intp, j: np.intp) -> float:
        return float(scores[i] > scores[j]) + 0.5 * float(scores[i] == scores[j])

    m, n = len(positive), len(negative)
    v10 = {i: float(np.sum([psi(i, j) for j in negative])) / n for i in positive}
    v01 = {j: float(np.sum([psi(i, j) for i in positive])) / m for j in negative}
    area = sum(v10.values()) / m
    everyone = sorted(set(patients.tolist()))
    of_positive = {k: [v10[i] for i in positive if patients[i] == k] for k in everyone}
    of_negative = {k: [v01[j] for j in negative if patients[j] == k] for k in everyone}
    i10, i01 = sum(map(bool, of_positive.values())), sum(map(bool, of_negative.values()))
    if i10 == 1 or i01 == 1:
        return None
    above = {k: sum(of_positive[k]) - len(of_positive[k]) * area for k in everyone}
    below = {k: sum(of_negative[k]) - len(of_negative[k]) * area for k in everyone}
    i = len(everyone)
    s10 = i10 / ((i10 - 1) * m) * sum(value**2 for value in above.values())
    s01 = i01 / ((i01 - 1) * n) * sum(value**2 for value in below.values())
    s11 = i / (i - 1) * sum(above[k] * below[k] for k in everyone)
    return s10 / m + s01 / n + 2 * s11 / (m * n)


def variance_of(
    truth: NDArray[np.int64], scores: NDArray[np.int64], patients: NDArray[np.int64]
) -> float | None:
    components = placements(truth, scores)
    return Clusters.of(truth == 1, patients).influence(components.positive, components.negative).variance()


@given(images)
@settings(deadline=None, max_examples=200)
def test_cluster_sums_give_the_papers_numbers(drawn: list[tuple[int, int, int]]) -> None:
    truth, scores, patients = (np.array(column) for column in zip(*drawn, strict=True))
    if truth.min() == truth.max():
        return
    expected, found = by_definition(truth, scores, patients), variance_of(truth, scores, patients)
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-12))
    assert found is None or found >= -1e-15


@given(images)
@settings(deadline=None)
def test_patients_with_one_image_give_delongs_variance(drawn: list[tuple[int, int, int]]) -> None:
    truth, scores, _ = (np.array(column) for column in zip(*drawn, strict=True))
    if min(truth.sum(), truth.size - truth.sum()) < 2:
        return
    assert variance_of(truth, scores, np.arange(truth.size)) == pytest.approx(
        delong(truth, scores).variance, abs=1e-12
    )


def test_variance_agrees_with_resampled_patients() -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(150), 3)
    truth = (rng.random(450) < 0.4).astype(int)
    scores = rng.normal(size=150)[patients] + 0.5 * rng.normal(size=450) + truth
    of = [np.flatnonzero(patients == patient) for patient in range(150)]
    draws = [np.concatenate([of[k] for k in rng.integers(150, size=150)]) for _ in range(1500)]
    areas = [delong(truth[drawn], scores[drawn]).auroc for drawn in draws]
    assert variance_of(truth, scores, patients) == pytest.approx(np.var(np.array(areas, float)), rel=0.12)


def test_image_without_patient_is_its_own() -> None:
    for names in (
        np.array(["a", None, "a", None, "b", np.nan], dtype=object),
        np.array([1, np.nan, 1, np.nan, 2, np.nan]),
    ):
        patients = number_patients(names)
        assert (patients.count(), patients.unnamed(), patients.named) == (5, 3, 2)
        part = patients[np.array([0, 2, 5])]
        assert (part.count(), part.unnamed()) == (2, 1)
    assert count_patients(np.array([7, 7, 0])) == 2


def test_images_that_are_copies_correlate_fully_and_count_once() -> None:
    values = np.repeat(np.linspace(-1, 1, 21), 3)
    patients = np.repeat(np.arange(21), 3)
    assert intraclass_correlation(values, patients) == pytest.approx(1)
    assert effective_number(patients, 1.0) == pytest.approx(21)
    assert effective_number(patients, 0.0) == 63
    assert effective_number(patients, 0.5) == pytest.approx(63 / 2)


def test_images_that_have_nothing_in_common_do_not_correlate() -> None:
    values = np.array([1.0, -1.0, 1.0, -1.0])
    assert intraclass_correlation(values, np.arange(4)) == 0
    assert intraclass_correlation(values, np.array([0, 0, 1, 1])) == 0  # negative, cut
    assert intraclass_correlation(np.zeros(4), np.zeros(4, dtype=int)) == 0
