"""What an epoch's answers to the validation split give: thresholds, AUROCs and the mean loss."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from training_support import course_loss, drawn_batch

from workers.training.validation import Validated


def drawn_answers(decimals: int, kinds: tuple[int, ...] = (-1, 0, 1)) -> Validated:
    """60 images of 6 findings; few decimals make ties."""
    rng = np.random.default_rng(decimals)
    labels = rng.choice(kinds, (60, 6)).astype(np.int8)
    answers = np.clip(rng.normal(0.4 + 0.15 * labels, 0.2), 0.001, 0.999).round(decimals)
    return Validated(labels, answers, 0.0)


def rates(truth: NDArray[np.int8], answers: NDArray[np.float64], threshold: float) -> tuple[float, float]:
    """Count sensitivity and specificity at `p >= threshold`."""
    called = answers >= threshold
    return float(called[truth == 1].mean()), float((~called)[truth == 0].mean())


def known(found: Validated, column: int) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    labels = found.labels[:, column]
    return labels[labels >= 0], found.probabilities[labels >= 0, column]


@pytest.mark.parametrize("decimals", [1, 2, 5])
def test_threshold_has_the_greatest_youden_of_all_cuts(decimals: int) -> None:
    found = drawn_answers(decimals)
    youden, _ = found.thresholds(0.9)
    assert len(youden) == 6
    for column, threshold in enumerate(youden):
        truth, answers = known(found, column)
        best = max(sum(rates(truth, answers, cut)) for cut in answers)
        assert sum(rates(truth, answers, threshold)) == pytest.approx(best)


@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.9, 1.0])
@pytest.mark.parametrize("decimals", [1, 2, 5])
def test_wanted_sensitivity_is_reached_and_not_by_the_next_higher_threshold(
    wanted: float, decimals: int
) -> None:
    found = drawn_answers(decimals)
    _, sensitive = found.thresholds(wanted)
    for column, threshold in enumerate(sensitive):
        truth, answers = known(found, column)
        assert rates(truth, answers, threshold)[0] >= wanted
        chosen = answers[answers >= threshold].min()
        next_higher = np.append(answers[answers > chosen], np.inf).min()
        assert rates(truth, answers, next_higher)[0] < wanted


def test_the_image_that_a_threshold_was_taken_from_is_called_positive() -> None:
    found = Validated(np.array([[0], [1]], dtype=np.int8), np.array([[0.1], [0.12345678]]), 0.0)
    assert found.thresholds(1.0) == ([0.123456], [0.123456])


@pytest.mark.parametrize("label", [-1, 0, 1])
def test_a_finding_without_both_classes_keeps_one_half_and_has_no_auroc(label: int) -> None:
    labels = np.array([[label, 0], [label, 1]], dtype=np.int8)
    found = Validated(labels, np.array([[0.2, 0.3], [0.9, 0.7]]), 0.0)
    assert found.thresholds(0.9) == ([0.5, 0.7], [0.5, 0.7])
    assert found.aurocs() == [None, 1.0]
    assert found.mean_auroc() == 1.0


def test_mean_auroc_of_no_finding_is_nan() -> None:
    assert np.isnan(Validated(np.zeros((2, 1), np.int8), np.zeros((2, 1)), 0.0).mean_auroc())


def test_validation_gives_all_images_probabilities_and_their_mean_loss(tensorflow: Any) -> None:
    from workers.training.loss import WeightedCrossEntropy
    from workers.training.validation import validate

    class Echo:
        """Its pictures are its logits."""

        def predict_on_batch(self, pictures: Any) -> NDArray[np.float32]:
            return np.asarray(pictures)

    labels, logits, share = drawn_batch((-1, 0, 1))
    batches = tensorflow.data.Dataset.from_tensor_slices((logits, labels)).batch(16)  # 40: the last is of 8
    found = validate(Echo(), batches, WeightedCrossEntropy(share))
    assert np.array_equal(found.labels, labels)
    assert found.probabilities == pytest.approx(1 / (1 + np.exp(-logits.astype(np.float64))))
    assert found.loss == pytest.approx(course_loss(labels, logits, share), rel=1e-5)
