"""The decision curve, by hand on a small case."""

import numpy as np
import pytest

from workers.metrics.benefit import THRESHOLDS, net_benefits

TRUTH = np.array([1, 1, 0, 0, 0]) == 1
P = np.array([0.9, 0.3, 0.5, 0.2, 0.1])


def test_five_images_by_hand() -> None:
    curve = {round(point.threshold, 2): point for point in net_benefits(TRUTH, P)}
    # At 0.2: both positives and two negatives are called, and a false alarm costs a quarter of a finding.
    at = curve[0.2]
    assert (at.tp, at.fp) == (2, 2)
    assert at.model == pytest.approx(2 / 5 - 2 / 5 * 0.25)
    assert at.everyone == pytest.approx(2 / 5 - 3 / 5 * 0.25)
    # At one half a false alarm costs a finding: one of each is nothing won.
    at = curve[0.5]
    assert (at.tp, at.fp) == (1, 1)
    assert at.model == pytest.approx(0.0)
    assert at.everyone == pytest.approx(2 / 5 - 3 / 5)
    # Nothing is called at 0.95, which wins and costs nothing.
    assert (curve[0.95].tp, curve[0.95].fp, curve[0.95].model) == (0, 0, 0)


def test_it_has_a_point_for_each_percent_and_none_without_images() -> None:
    assert [point.threshold for point in net_benefits(TRUTH, P)] == list(THRESHOLDS)
    assert net_benefits(TRUTH[:0], P[:0]) == []
