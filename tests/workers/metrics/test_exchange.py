"""The exchange test against all exchanges there are, made one by one."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from workers.metrics.exchange import EXCHANGES, exchange_p


@pytest.mark.parametrize("seed", range(4))
def test_p_is_the_share_of_all_exchanges_that_differ_as_much(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Ten patients with images of both classes, and with ties.
    truth, patients = rng.random(30) < 0.4, np.arange(30) % 10
    common = rng.normal(size=30) + truth
    a, b = (rankdata(np.round(common + rng.normal(size=30) + shift * truth, 1)) for shift in (0.5, 0))

    def difference(exchanged: np.ndarray) -> float:
        first, second = np.where(exchanged, b, a), np.where(exchanged, a, b)
        return float(roc_auc_score(truth, first) - roc_auc_score(truth, second))

    found = abs(difference(np.zeros(30, np.bool_)))
    all_of_them = [difference(np.array(signs)[patients]) for signs in product([False, True], repeat=10)]
    p = float(np.mean(np.abs(all_of_them) >= found - 1e-9))
    error = (p * (1 - p) / EXCHANGES) ** 0.5
    assert exchange_p(truth, a, b, patients) == pytest.approx(p, abs=4 * error + 1 / EXCHANGES)


def test_many_patients_have_the_p_of_all_signs_drawn() -> None:
    rng = np.random.default_rng(5)
    truth = np.arange(600) < 60
    common = rng.normal(size=600) + truth
    a, b = common + rng.normal(size=600) + 0.2 * truth, common + rng.normal(size=600)
    # The parts of the difference, by their definition: placements among the other class' ranks by both.
    ranks = rankdata(a), rankdata(b)
    above, below = (np.concatenate([of[truth == which] for of in ranks]) for which in (True, False))
    parts = np.concatenate(
        [
            [np.mean(below < x) - np.mean(below < y) for x, y in np.stack(ranks, axis=1)[truth]],
            [np.mean(above > x) - np.mean(above > y) for x, y in np.stack(ranks, axis=1)[~truth]],
        ]
    ) / np.repeat([60, 540], [60, 540])
    assert parts.sum() == pytest.approx(roc_auc_score(truth, a) - roc_auc_score(truth, b))
    drawn = rng.choice([-1.0, 1.0], (20_000, 600)) @ parts
    p = float(np.mean(np.abs(drawn) >= abs(parts.sum())))
    assert 0.02 < p < 0.5
    assert exchange_p(truth, a, b, np.arange(600)) == pytest.approx(p, abs=4 * (p / EXCHANGES) ** 0.5)


def test_models_that_rank_alike_are_exchanged_without_a_difference() -> None:
    truth, a = np.array([True, False, True, False]), np.array([0.9, 0.5, 0.3, 0.1])
    assert exchange_p(truth, a, np.exp(a), np.arange(4)) == 1


def test_p_is_never_0_and_the_same_again() -> None:
    truth = np.arange(80) < 40
    a = np.arange(80.0)
    p = exchange_p(truth, a, -a, np.arange(80))
    assert p == 1 / (EXCHANGES + 1)
    assert exchange_p(truth, a, -a, np.arange(80)) == p
