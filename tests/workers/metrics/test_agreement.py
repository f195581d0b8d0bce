"""Kappa and its intervals."""

from typing import Any

import numpy as np
import pytest
from coverage_of_means import kappa_coverage
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.inter_rater import fleiss_kappa as peer_fleiss

from workers.metrics.agreement import Kappa, cohen_kappa, fleiss_kappa


def bits(text: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array([letter == "1" for letter in text])


@pytest.mark.parametrize("seed", range(5))
def test_cohens_kappa_and_with_many_images_its_interval_are_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.random(5000) < 0.3
    second = first ^ (rng.random(5000) < 0.2)
    table = [[np.sum((first == one) & (second == other)) for other in (False, True)] for one in (False, True)]
    peer = cohens_kappa(np.array(table))
    found = cohen_kappa(first, second)
    assert found.kappa == pytest.approx(peer.kappa)
    assert (found.ci_low, found.ci_high) == pytest.approx((peer.kappa_low, peer.kappa_upp), abs=0.001)


@pytest.mark.parametrize("readers", [2, 3, 5])
def test_fleiss_kappa_is_statsmodels(readers: int) -> None:
    rng = np.random.default_rng(readers)
    votes = (rng.random((40, 1)) < 0.4) ^ (rng.random((40, readers)) < 0.2)
    positive = votes.sum(axis=1)
    found = fleiss_kappa(positive, readers)
    assert found.kappa == pytest.approx(peer_fleiss(np.stack([readers - positive, positive], axis=1)))
    assert -1 <= (found.ci_low or -2) < (found.kappa or -2) < (found.ci_high or -2) <= 1


@pytest.mark.parametrize("readers", [2, 3])
@pytest.mark.parametrize("images", [30, 150])
def test_the_interval_covers_what_it_says(readers: int, images: int) -> None:
    held = kappa_coverage(readers, images, 0.2, error=0.05, sets=400, seed=1)
    assert held is not None
    assert 0.92 < held < 0.985


def test_readers_who_agree_wholly_have_a_kappa_of_one_and_an_interval_with_width() -> None:
    for found in (cohen_kappa(bits("1100"), bits("1100")), fleiss_kappa(np.array([3, 3, 0, 0]), 3)):
        assert found.kappa == pytest.approx(1)
        assert found.ci_low is not None
        assert found.ci_low < 0.6
        assert found.ci_high == pytest.approx(1)
    many = cohen_kappa(np.arange(400) < 200, np.arange(400) < 200)
    assert 0.97 < (many.ci_low or 0) < 1


def test_readers_who_agree_less_than_by_chance_have_an_interval_around_it() -> None:
    found = cohen_kappa(bits("1100" * 5), bits("0011" * 5))
    assert found.kappa == pytest.approx(-1)
    assert found.ci_low == pytest.approx(-1)
    assert -1 < (found.ci_high or 0) < 0


def test_a_kappa_that_is_not_defined_says_why() -> None:
    assert cohen_kappa(bits("0000"), bits("0000")) == Kappa(4, reason="all labels are alike")
    assert cohen_kappa(bits(""), bits("")).reason == "no image was read by both"
    assert fleiss_kappa(np.array([0, 0]), 3) == Kappa(2, reason="all labels are alike")
    assert fleiss_kappa(np.array([], dtype=np.int64), 3).reason == "no image was read by two"
    alone = fleiss_kappa(np.array([3, 0]), 3)
    assert (alone.reason, alone.ci_low is not None) == (None, True)
    assert fleiss_kappa(np.array([2]), 3).reason == "an interval needs two patients"


@pytest.mark.parametrize("kappa_of", ["cohen", "fleiss"])
def test_the_interval_counts_patients_and_not_their_images(kappa_of: str) -> None:
    """Each patient has three images that are read alike: the interval is that of one image per patient."""
    rng = np.random.default_rng(3)
    truth = rng.random((120, 1)) < 0.4
    votes = truth ^ (rng.random((120, 3)) < 0.15)
    thrice, patients = np.repeat(votes, 3, axis=0), np.repeat(np.arange(120), 3)

    def found(votes: np.ndarray[tuple[int, int], np.dtype[np.bool_]], patients: Any) -> Kappa:
        if kappa_of == "cohen":
            return cohen_kappa(votes[:, 0], votes[:, 1], patients)
        return fleiss_kappa(votes.sum(axis=1), 3, patients)

    once, clustered, alone = found(votes, None), found(thrice, patients), found(thrice, None)
    assert clustered.kappa == pytest.approx(once.kappa)
    assert clustered.kappa == pytest.approx(alone.kappa)

    def width(kappa: Kappa) -> float:
        assert kappa.ci_low is not None
        assert kappa.ci_high is not None
        return kappa.ci_high - kappa.ci_low

    assert width(clustered) == pytest.approx(width(once), rel=0.05)
    assert width(clustered) > 1.6 * width(alone)


def test_an_interval_of_one_patient_is_not_defined() -> None:
    patients = np.zeros(4, dtype=np.int64)
    for found in (
        cohen_kappa(bits("1100"), bits("1000"), patients),
        fleiss_kappa(np.array([3, 2, 0, 0]), 3, patients),
    ):
        assert (found.ci_low, found.reason) == (None, "an interval needs two patients")
