"""The loss is the course's soft Dice loss, computed from logits."""

from typing import Any

import numpy as np
import pytest

from workers.metrics.segmentation import soft_dice


def logits(probabilities: Any) -> Any:
    p = np.clip(np.asarray(probabilities, dtype=np.float64), 1e-9, 1 - 1e-9)
    return np.log(p / (1 - p))


def of(label: Any, probabilities: Any, epsilon: float) -> float:
    from workers.training.volumes.loss import SoftDiceLoss

    y, z = (
        np.asarray(array, dtype=np.float32)[None, :, :, None, None]
        for array in (label, logits(probabilities))
    )
    return float(SoftDiceLoss(epsilon)(y, z))


def test_losses_are_those_of_the_courses_tests(tensorflow: Any) -> None:
    assert tensorflow
    eye = np.eye(2)
    assert of([[1, 1], [0, 0]], eye, 1) == pytest.approx(0.4, abs=5e-5)
    assert of([[1, 1], [0, 0]], eye * 0.5, 1) == pytest.approx(0.4286, abs=5e-5)
    assert of([[1, 1], [0, 1]], eye, 1) == pytest.approx(0.1667, abs=5e-5)
    assert of([[1, 1], [0, 1]], [[1, 0.8], [0, 1]], 1) == pytest.approx(0.0060, abs=5e-5)


def test_classes_and_sub_volumes_count_alike(tensorflow: Any) -> None:
    from workers.training.volumes.loss import SoftDiceLoss

    assert tensorflow
    random = np.random.default_rng(1)
    y = (random.random((2, 4, 5, 3, 3)) < 0.3).astype(np.float32)
    z = random.normal(size=y.shape).astype(np.float32)
    p = 1 / (1 + np.exp(-z.astype(np.float64)))
    expected = [1 - np.mean([soft_dice(y[n, ..., c], p[n, ..., c]) for c in range(3)]) for n in range(2)]
    np.testing.assert_allclose(SoftDiceLoss().call(y, z), expected, rtol=1e-5)
    assert float(SoftDiceLoss()(y, z)) == pytest.approx(float(np.mean(expected)), rel=1e-5)


def test_gradient_is_finite_where_a_class_is_absent(tensorflow: Any) -> None:
    from workers.training.volumes.loss import SoftDiceLoss

    z = tensorflow.Variable(np.full((1, 2, 2, 2, 3), -30, dtype=np.float32))
    with tensorflow.GradientTape() as tape:
        loss = SoftDiceLoss()(np.zeros(z.shape, dtype=np.float32), z)
    assert np.isfinite(tape.gradient(loss, z).numpy()).all()
