"""How many of the first images of a list are positive, by hand and with patients."""

import numpy as np
import pytest

from workers.metrics.first import first_images
from workers.metrics.shares import wilson


def test_thirty_images_by_hand() -> None:
    scores = np.linspace(1, 0, 30)
    truth = np.zeros(30, np.bool_)
    truth[[0, 1, 4, 12, 29]] = True
    found = {first.images: first for first in first_images(truth, scores, np.arange(30))}
    assert sorted(found) == [3, 10, 20]
    ten = found[10]
    assert (ten.positive, ten.precision, ten.found) == (3, 0.3, 0.6)
    assert ten.lift == pytest.approx(0.3 / (5 / 30))
    assert (ten.low, ten.high) == pytest.approx(wilson(3, 10))
    assert (found[3].positive, found[20].positive) == (2, 4)


def test_images_of_one_patient_tell_less() -> None:
    truth, scores = np.arange(60) % 2 == 0, np.linspace(1, 0, 60)
    alone, together = (
        {first.images: first for first in first_images(truth, scores, patients)}[20]
        for patients in (np.arange(60), np.arange(60) // 4)
    )
    assert alone.low is not None
    assert together.low is not None
    assert together.low < alone.low


def test_equal_scores_keep_the_images_order_and_no_positive_has_no_lift() -> None:
    truth = np.arange(40) < 5
    ten = {first.images: first for first in first_images(truth, np.zeros(40), np.arange(40))}[10]
    assert ten.positive == 5
    assert ten.lift == pytest.approx(4.0)
    none = first_images(np.zeros(40, np.bool_), np.zeros(40), np.arange(40))[0]
    assert (none.positive, none.lift, none.found) == (0, None, None)
    assert first_images(truth[:0], np.zeros(0), np.arange(0)) == []
