"""Real radiographs of ChestX-ray14 forged into films: what a PNG scores its film does, negative or not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from dicom_support import film
from numpy.typing import NDArray

from config.cards.model import Classifier
from workers.inference.engine import Engine, infer_views
from workers.inference.formats.decode import decode
from workers.inference.formats.picture import Picture, is_grey
from workers.inference.pixels import prepare

RADIOGRAPHS: Final = 20
LIMIT: Final = 2**20
EXACT: Final = 1e-5
OF_12_BITS: Final = 0.02
"""A PNG is resized in whole greys, and a film of 12 bits in fractions of them."""

Scores = Callable[[list[Picture]], NDArray[np.float32]]


@pytest.fixture(scope="module")
def scores(demo: Classifier, demo_engine: Engine) -> Scores:
    """What the shipped model says of pictures: (pictures, findings)."""

    def score(pictures: list[Picture]) -> NDArray[np.float32]:
        views = np.stack([prepare(picture, demo.card.pixels)[None] for picture in pictures])
        return infer_views(demo_engine, views).probabilities

    return score


@pytest.fixture(scope="module")
def radiographs(real_data: Path) -> list[Picture]:
    """The first grey PNGs of 8 bits."""
    names = sorted((real_data / "nih" / "images").glob("*.png"))
    pictures = (decode(path.read_bytes(), LIMIT) for path in names)
    return [picture for picture in pictures if is_grey(picture.values)][:RADIOGRAPHS]


@pytest.fixture(scope="module")
def expected(scores: Scores, radiographs: list[Picture]) -> NDArray[np.float32]:
    assert len(radiographs) == RADIOGRAPHS
    found = scores(radiographs)
    assert np.ptp(found, axis=0).max() > 0.9
    return found


def of_8_bits(picture: Picture, photometric: str) -> bytes:
    values = picture.values.astype(np.uint8)
    stored = 255 - values if photometric == "MONOCHROME1" else values
    return film(np.asarray(stored, dtype=np.uint8), PhotometricInterpretation=photometric)


def of_12_bits(picture: Picture, photometric: str, **facts: Any) -> bytes:
    """The greys spread over all 12 bits, rounded to whole values: 1 of 16 of a grey is lost."""
    values = np.rint(picture.values.astype(np.float64) * (4095 / 255)).astype(np.uint16)
    stored = 4095 - values if photometric == "MONOCHROME1" else values
    window = {"WindowCenter": 2047.5, "WindowWidth": 4095, "VOILUTFunction": "LINEAR_EXACT"}
    return film(np.asarray(stored, dtype=np.uint16), PhotometricInterpretation=photometric, **window, **facts)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_films_of_8_bits_score_what_their_pngs_do(
    photometric: str, scores: Scores, radiographs: list[Picture], expected: NDArray[np.float32]
) -> None:
    films = [decode(of_8_bits(picture, photometric), LIMIT) for picture in radiographs]
    for shown, picture in zip(films, radiographs, strict=True):
        assert np.array_equal(shown.values, picture.values)
    assert np.abs(scores(films) - expected).max() <= EXACT


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_films_of_12_bits_score_what_their_pngs_do_but_for_rounding(
    photometric: str, scores: Scores, radiographs: list[Picture], expected: NDArray[np.float32]
) -> None:
    films = [decode(of_12_bits(picture, photometric), LIMIT) for picture in radiographs]
    for shown, picture in zip(films, radiographs, strict=True):
        assert np.abs(shown.values - picture.values.astype(np.float32)).max() <= 0.5 * 255 / 4095 + 1e-4
    assert np.abs(scores(films) - expected).max() <= OF_12_BITS


def test_the_two_photometric_interpretations_of_a_12_bit_film_score_the_same(
    scores: Scores, radiographs: list[Picture]
) -> None:
    positive, negative = (
        scores([decode(of_12_bits(picture, photometric), LIMIT) for picture in radiographs])
        for photometric in ("MONOCHROME2", "MONOCHROME1")
    )
    assert np.abs(positive - negative).max() <= EXACT


def test_a_negative_that_is_not_said_to_be_one_scores_otherwise(
    scores: Scores, radiographs: list[Picture], expected: NDArray[np.float32]
) -> None:
    wrong = [
        decode(of_8_bits(Picture(255 - picture.values.astype(np.uint8)), "MONOCHROME2"), LIMIT)
        for picture in radiographs
    ]
    assert (np.abs(scores(wrong) - expected).max(axis=1) > 0.05).all()


def test_the_shared_twins_are_each_others_negatives_and_score_otherwise(
    scores: Scores, real_data: Path
) -> None:
    names = ("chest_monochrome2_jpeg_baseline", "chest_forged_monochrome1_jpeg_baseline")
    positive, negative = (decode((real_data / "dicom" / f"{name}.dcm").read_bytes(), 2**24) for name in names)
    assert np.array_equal(negative.values, 255 - positive.values)
    of_positive, of_negative = scores([positive, negative])
    assert np.abs(of_positive - of_negative).max() > 0.1
