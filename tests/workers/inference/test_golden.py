"""Golden scores are about DICOM, too: a worker that would prepare films otherwise does not start."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from support import CLASSIFIER_CARD

from config.cards.classification import ClassificationCard
from config.errors import ConfigError
from config.films import Recipe
from workers.inference.engine import GOLDEN_TOLERANCE, Inference, check_golden
from workers.inference.formats.dicom import film, greyscale
from workers.inference.golden import film_of_pattern, film_views, pattern_views

RECIPES: tuple[Recipe, ...] = get_args(Recipe)


@dataclass
class Weighted:
    """Stands for an engine: a score per finding, seeded weighted means of the pixels."""

    name: str = "weighted"
    batch: int = 4

    def infer(self, inputs: NDArray[np.float32]) -> Inference:
        weights = np.random.default_rng(5).uniform(0, 2, (inputs[0].size, 14))
        scores = inputs.reshape(len(inputs), -1).astype(np.float64) @ weights / len(weights)
        maps = np.zeros((len(inputs), 1, 1, 14), dtype=np.float32)
        return Inference(scores.astype(np.float32), maps, np.zeros((len(inputs), 4), dtype=np.float32))


def card_of(recipe: Recipe) -> ClassificationCard:
    pixels = CLASSIFIER_CARD["pixels"] | {"size": 64, "factor": 1 / 255, "greyscale": recipe}
    draft = ClassificationCard.model_validate(CLASSIFIER_CARD | {"pixels": pixels})
    picture, filmed = (
        Weighted().infer(views).probabilities[0] for views in (pattern_views(draft), film_views(draft))
    )
    golden = {"golden": tuple(map(float, picture)), "golden_film": tuple(map(float, filmed))}
    return draft.model_copy(update=golden)


@pytest.mark.parametrize(
    ("size", "sha256"),
    [
        (224, "f79ce5fa78811542f24e8400896c409a53a2d526e8b651224374740025e2e0f0"),
        (320, "04496154610e81234fa8ee6b7e5067fce090c1ccabc683d98685b68d4fa1acc5"),
    ],
)
def test_golden_scores_are_about_the_same_film_for_ever(size: int, sha256: str) -> None:
    dataset = dcmread(io.BytesIO(film_of_pattern(size)))
    assert dataset.PixelPaddingValue == dataset.pixel_array.min() == 0
    assert hashlib.sha256(dataset.pixel_array.tobytes()).hexdigest() == sha256


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_worker_that_prepares_films_as_the_card_starts(recipe: Recipe) -> None:
    check_golden(Weighted(), card_of(recipe), GOLDEN_TOLERANCE)


@pytest.mark.parametrize("recipe", RECIPES)
def test_no_other_greyscale_gives_the_films_golden_scores(recipe: Recipe) -> None:
    card = card_of(recipe)
    for other in set(RECIPES) - {recipe}:
        pixels = card.pixels.model_copy(update={"greyscale": other})
        with pytest.raises(ConfigError, match="for the test pattern as a DICOM film Atelectasis is"):
            check_golden(Weighted(), card.model_copy(update={"pixels": pixels}), GOLDEN_TOLERANCE)


def without(*keywords: str) -> Callable[[Any], Any]:
    """Wrap what makes the table, so that it does not see some elements."""

    def wrap(display_table: Any) -> Any:
        def blind(dataset: Dataset, *others: Any) -> Any:
            for keyword in keywords:
                if keyword in dataset:
                    delattr(dataset, keyword)
            return display_table(dataset, *others)

        return blind

    return wrap


def upright(display_table: Any) -> Any:
    def not_inverted(dataset: Dataset, *others: Any) -> Any:
        dataset.PhotometricInterpretation = "MONOCHROME2"
        return display_table(dataset, *others)

    return not_inverted


@pytest.mark.parametrize(
    ("recipe", "wrap"),
    [
        *((recipe, upright) for recipe in RECIPES),
        ("window", without("WindowWidth")),
        ("window", without("RescaleSlope", "RescaleIntercept")),
    ],
)
def test_a_worker_that_leaves_a_step_out_is_refused(
    recipe: Recipe, wrap: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = card_of(recipe)
    monkeypatch.setattr(film, "display_table", wrap(greyscale.display_table))
    with pytest.raises(ConfigError, match="as a DICOM film"):
        check_golden(Weighted(), card, GOLDEN_TOLERANCE)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_worker_that_takes_padding_for_film_is_refused(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = card_of(recipe)
    monkeypatch.setattr(film, "_padding", lambda _dataset, stored: np.zeros(stored.size, dtype=bool))
    with pytest.raises(ConfigError, match="as a DICOM film"):
        check_golden(Weighted(), card, GOLDEN_TOLERANCE)


def test_a_card_without_golden_scores_of_the_film_is_not_asked_for_them() -> None:
    card = card_of("window")
    blind = card.model_copy(
        update={"golden_film": None, "pixels": card.pixels.model_copy(update={"greyscale": "minmax"})}
    )
    check_golden(Weighted(), blind, GOLDEN_TOLERANCE)
