"""The course's weighted loss; a label that is not known adds nothing to it."""

from typing import Any

import numpy as np
import pytest
from training_support import course_loss, drawn_batch


@pytest.mark.parametrize("kinds", [(0, 1), (-1, 0, 1)])
def test_loss_is_the_courses(tensorflow: Any, kinds: tuple[int, ...]) -> None:
    from workers.training.loss import WeightedCrossEntropy

    assert tensorflow
    labels, logits, share = drawn_batch(kinds)
    found = float(WeightedCrossEntropy(share)(labels, logits))
    assert found == pytest.approx(course_loss(labels, logits, share), rel=1e-5)
    # Rare positives must weigh more: the two weights exchanged are another loss.
    assert found != pytest.approx(course_loss(labels, logits, 1 - share), rel=1e-2)


def test_an_unknown_label_adds_nothing_and_gets_no_gradient(tensorflow: Any) -> None:
    from workers.training.loss import WeightedCrossEntropy

    labels, logits, share = drawn_batch((-1, 0, 1))
    loss = WeightedCrossEntropy(share)
    watched = tensorflow.Variable(logits)
    with tensorflow.GradientTape() as tape:
        before = loss(labels, watched)
    gradient = np.asarray(tape.gradient(before, watched))
    assert not gradient[labels == -1].any()
    assert (gradient[labels == 1] < 0).all()
    assert (gradient[labels == 0] > 0).all()
    assert float(loss(labels, np.where(labels == -1, 50.0, logits))) == float(before)
    assert float(loss(np.full_like(labels, -1), logits)) == 0


def test_loss_of_a_sure_error_is_finite(tensorflow: Any) -> None:
    from workers.training.loss import WeightedCrossEntropy

    assert tensorflow
    labels, logits = np.array([[1], [0]]), np.array([[-500.0], [500.0]], dtype=np.float32)
    assert float(WeightedCrossEntropy(np.array([0.25]))(labels, logits)) == pytest.approx(0.5 * 500)
