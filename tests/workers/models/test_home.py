"""Scores from home are compared with ours: equal, or refused with what would make them equal."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import CLASSIFIER_CARD

from config.cards.classification import ClassificationCard
from config.errors import ConfigError
from config.failures import ImageUnusableError, Reason
from config.films import Film, Greyscale, Recipe
from workers.inference.formats.picture import Picture
from workers.inference.pixels import prepare_views
from workers.models import home
from workers.models.home import HomeScores, compare_with_home
from workers.models.original import TOLERANCE

FINDINGS = ("Mass", "Nodule", "Edema")
SIZE = 32


class Linear:
    """Stands for a network: a logit per finding, weighted sums of the pixels, with and without negatives."""

    def __init__(self, *, final_relu: bool = True) -> None:
        weights = np.random.default_rng(3).normal(0, 0.02, (SIZE * SIZE, len(FINDINGS)))
        self.weights = weights.astype(np.float32)
        self.final_relu = final_relu

    def __call__(self, inputs: NDArray[np.float32], *, training: bool) -> tuple[None, NDArray[np.float32]]:
        assert not training
        pixels = inputs.reshape(len(inputs), -1)
        return None, (np.maximum(pixels, 0) if self.final_relu else pixels) @ self.weights


def card_of(**pixels: Any) -> ClassificationCard:
    own = {"size": SIZE, "channels": 1, "resize": "bilinear", "factor": 1 / 255, "mean": [0.5], "std": [0.25]}
    numbers = [0.5] * len(FINDINGS)
    fields = {"findings": list(FINDINGS), "thresholds": numbers, "golden": numbers, "pixels": own | pixels}
    return ClassificationCard.model_validate(CLASSIFIER_CARD | fields)


CARD = card_of()
PICTURES = {
    f"{index}.png": Picture(np.random.default_rng(index).integers(0, 256, shape, dtype=np.uint8))
    for index, shape in enumerate(((70, 50), (40, 90), (64, 64)))
}


def from_home(card: ClassificationCard = CARD, network: Linear | None = None) -> HomeScores:
    """Score the pictures as the model's origin does, in its way of preparing them."""
    views = [prepare_views(picture, card.pixels) for picture in PICTURES.values()]
    logits = [(network or Linear())(inputs, training=False)[1] for inputs in views]
    probabilities = np.stack([(1 / (1 + np.exp(-of_views))).mean(axis=0) for of_views in logits])
    return HomeScores("five.csv", tuple(PICTURES), FINDINGS, probabilities.astype(np.float32), read)


def read(name: str, _recipe: Recipe) -> Picture:
    return PICTURES[name]


def refusal(scores: HomeScores, card: ClassificationCard = CARD) -> str:
    with pytest.raises(ConfigError, match=r"^[^\n]+$") as caught:
        compare_with_home(scores, Linear(), card, TOLERANCE)
    return str(caught.value)


def test_equal_scores_are_counted() -> None:
    found = compare_with_home(from_home(), Linear(), CARD, TOLERANCE)
    assert (found.file, found.images, found.findings) == ("five.csv", 3, 3)
    assert found.difference < 1e-6


def test_blank_scores_and_other_findings_are_left() -> None:
    scores = from_home()
    scores.probabilities[0, 0] = np.nan
    scores.probabilities[:, 2] = np.nan
    more = replace(
        scores,
        findings=("Hernia", *FINDINGS),
        probabilities=np.hstack([np.full((3, 1), 0.98765, np.float32), scores.probabilities]),
    )
    found = compare_with_home(more, Linear(), CARD, TOLERANCE)
    assert (found.images, found.findings) == (3, 2)


def test_largest_difference_is_named_with_image_and_finding() -> None:
    scores = from_home()
    scores.probabilities[1, 1] += 0.01
    said = refusal(scores)
    ours, theirs = scores.probabilities[1, 1] - 0.01, scores.probabilities[1, 1]
    assert f"differ from five.csv by 0.01 in probability: 1.png, Nodule: {ours:.4f} here" in said
    assert f"{theirs:.4f} at home" in said
    assert "see docs/models.md" in said


def test_other_order_of_the_findings_is_recognised() -> None:
    scores = from_home()
    said = refusal(replace(scores, probabilities=scores.probabilities[:, [1, 0, 2]]))
    assert "another order: Mass at home is Nodule here, Nodule at home is Mass here; see --findings" in said


@pytest.mark.parametrize(
    ("pixels", "option"),
    [
        ({"resize": "nearest"}, "with --resize nearest they are the same"),
        ({"resize": "gaussian"}, "with --resize gaussian they are the same"),
        ({"center_crop": True}, "with --center-crop they are the same"),
        ({"standardize": True, "mean": [0.0], "std": [1.0]}, "with --standardize they are the same"),
    ],
)
def test_other_pixels_are_recognised(pixels: dict[str, Any], option: str) -> None:
    assert option in refusal(from_home(card_of(**pixels)))


def test_another_greyscale_of_films_is_recognised() -> None:
    def films(name: str, recipe: Recipe) -> Picture:
        values = PICTURES[name].values // (2 if recipe == "window" else 1)
        return Picture(values, film=Film(Greyscale(recipe), padded=False, spacing=None))

    assert "with --greyscale minmax they are the same" in refusal(replace(from_home(), read=films))
    minmax = card_of(greyscale="minmax")
    assert compare_with_home(replace(from_home(), read=films), Linear(), minmax, TOLERANCE).difference < 1e-6


def test_ten_crops_are_compared_and_recognised() -> None:
    ten, middle = card_of(resize_first=40, ten_crops=True), card_of(resize_first=40)
    assert compare_with_home(from_home(ten), Linear(), ten, TOLERANCE).difference < 1e-6
    assert "with --ten-crops they are the same" in refusal(from_home(ten), middle)


def test_other_final_relu_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    without = CARD.model_copy(update={"final_relu": False})
    monkeypatch.setattr(home, "with_other_relu", lambda *_: (Linear(final_relu=False), without))
    assert "with --no-final-relu they are the same" in refusal(from_home(network=Linear(final_relu=False)))


@pytest.fixture(autouse=True)
def _same_relu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "with_other_relu", lambda network, card: (network, card))


@pytest.mark.parametrize("decimals", [0, 2, 3])
def test_rounded_scores_cannot_be_compared(decimals: int) -> None:
    scores = from_home()
    rounded = replace(scores, probabilities=scores.probabilities.round(decimals))
    assert f"rounded to {decimals} decimals; write them with five or more" in refusal(rounded)


def test_scores_of_other_findings_alone_are_refused() -> None:
    others = replace(from_home(), findings=("Hernia", "Fibrosis", "Emphysema"))
    assert "five.csv has no score of its findings, which are: Mass, Nodule, Edema" in refusal(others)


def test_image_that_cannot_be_read_is_named() -> None:
    def missing(_name: str, _recipe: Recipe) -> Picture:
        raise ImageUnusableError(Reason.MISSING, "there is no such file")

    assert refusal(replace(from_home(), read=missing)) == "five.csv: 0.png: there is no such file"
