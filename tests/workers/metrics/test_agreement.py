"""Kappa and its intervals."""

import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.inter_rater import fleiss_kappa as peer_fleiss

from workers.metrics.agreement import Kappa, cohen_kappa, fleiss_kappa


def bits(text: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array([letter == "1" for letter in text])


@pytest.mark.parametrize("seed", range(5))
def test_cohens_kappa_and_its_interval_are_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.random(80) < 0.3
    second = first ^ (rng.random(80) < 0.2)
    table = [[np.sum((first == one) & (second == other)) for other in (False, True)] for one in (False, True)]
    peer = cohens_kappa(np.array(table))
    found = cohen_kappa(first, second)
    assert (found.kappa, found.ci_low) == pytest.approx((peer.kappa, peer.kappa_low))
    assert found.ci_high == pytest.approx(min(peer.kappa_upp, 1.0))


@pytest.mark.parametrize("readers", [2, 3, 5])
def test_fleiss_kappa_is_statsmodels(readers: int) -> None:
    rng = np.random.default_rng(readers)
    votes = (rng.random((40, 1)) < 0.4) ^ (rng.random((40, readers)) < 0.2)
    positive = votes.sum(axis=1)
    found = fleiss_kappa(positive, readers)
    assert found.kappa == pytest.approx(peer_fleiss(np.stack([readers - positive, positive], axis=1)))
    assert -1 <= (found.ci_low or -2) < (found.kappa or -2) < (found.ci_high or -2) <= 1


def test_fleiss_interval_covers_what_it_says() -> None:
    rng = np.random.default_rng(11)

    def sample(images: int) -> Kappa:
        truth = rng.random((images, 1)) < 0.3
        return fleiss_kappa((truth ^ (rng.random((images, 3)) < 0.15)).sum(axis=1), 3)

    wanted = sample(400_000).kappa
    assert wanted is not None
    found = [sample(150) for _ in range(400)]
    covered = np.mean([(each.ci_low or 0.0) <= wanted <= (each.ci_high or 0.0) for each in found])
    assert 0.92 < covered < 0.98


def test_readers_who_agree_wholly_have_a_kappa_of_one() -> None:
    assert cohen_kappa(bits("1100"), bits("1100")).kappa == pytest.approx(1)
    assert fleiss_kappa(np.array([3, 3, 0, 0]), 3).kappa == pytest.approx(1)


def test_a_kappa_that_is_not_defined_says_why() -> None:
    assert cohen_kappa(bits("0000"), bits("0000")) == Kappa(4, reason="all labels are alike")
    assert cohen_kappa(bits(""), bits("")).reason == "no image was read by both"
    assert fleiss_kappa(np.array([0, 0]), 3) == Kappa(2, reason="all labels are alike")
    assert fleiss_kappa(np.array([], dtype=np.int64), 3).reason == "no image was read by two"
    assert fleiss_kappa(np.array([3, 0]), 3).reason == "one image alone makes the difference"
