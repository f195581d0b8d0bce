"""The greyscales that a card may name beside the window, each against a computation on all pixels."""

from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pytest
from dicom_support import film
from numpy.typing import NDArray
from picture_support import JPEG, LIMIT, PLAIN
from pydicom import dcmread

from config.cards.classification import Preprocessing
from config.films import Recipe
from workers.inference.formats.decode import decode
from workers.inference.pixels import prepare

RNG: Final = np.random.default_rng(10)
TWELVE: Final = (RNG.normal(1500, 400, (96, 80)).clip(200, 3900)).astype(np.uint16)
EIGHT: Final = (TWELVE // 16).astype(np.uint8)
SIGNED: Final = (TWELVE.astype(np.int16) - 1700).view(np.uint16)
WINDOW: Final[dict[str, Any]] = {"WindowCenter": 1500, "WindowWidth": 300}
NEGATIVE: Final = {"PhotometricInterpretation": "MONOCHROME1"}

FILMS: Final[dict[str, tuple[NDArray[Any], dict[str, Any]]]] = {
    "12 bits": (TWELVE, {}),
    "12 bits with a window, which does not count": (TWELVE, WINDOW),
    "12 bits, MONOCHROME1": (TWELVE, NEGATIVE),
    "8 bits": (EIGHT, {}),
    "8 bits, MONOCHROME1": (EIGHT, NEGATIVE),
    "rescaled": (TWELVE, {"RescaleSlope": 2.5, "RescaleIntercept": -700}),
    "10 bits of data in 16": (TWELVE // 4, {"BitsStored": 16, "HighBit": 15}),
}


def shown(pixels: NDArray[Any], recipe: Recipe, **attributes: Any) -> NDArray[np.float64]:
    picture = decode(film(pixels, **attributes), LIMIT, recipe)
    assert picture.film is not None
    assert picture.film.greyscale == recipe
    return picture.values.astype(np.float64)


def upright(values: NDArray[Any], attributes: dict[str, Any]) -> NDArray[Any]:
    return 255 - values if attributes.get("PhotometricInterpretation") == "MONOCHROME1" else values


@pytest.mark.parametrize("name", FILMS)
def test_minmax_is_the_range_of_the_picture_after_its_modality(name: str) -> None:
    pixels, attributes = FILMS[name]
    values = pixels * attributes.get("RescaleSlope", 1.0) + attributes.get("RescaleIntercept", 0.0)
    expected = upright(np.interp(values, (values.min(), values.max()), (0, 255)), attributes)
    assert shown(pixels, "minmax", **attributes) == pytest.approx(expected, abs=1e-4)


def test_minmax_of_a_falling_slope_is_the_negative() -> None:
    fallen = shown(TWELVE, "minmax", RescaleSlope=-1, RescaleIntercept=4095)
    assert fallen == pytest.approx(255 - shown(TWELVE, "minmax"), abs=1e-4)


@pytest.mark.parametrize("name", FILMS)
def test_maxbit_gives_the_numbers_of_torchxrayvision(name: str) -> None:
    """Of its read_xray_dcm: MONOCHROME1 from the largest value that fits, then -1024 to 1024; no rescale."""
    pixels, attributes = FILMS[name]
    largest = 2 ** attributes.get("BitsStored", 8 if pixels.itemsize == 1 else 12) - 1
    data = pixels.astype(np.int64)
    if attributes.get("PhotometricInterpretation") == "MONOCHROME1":
        data = largest - data
    expected = (2 * (data.astype(np.float32) / largest) - 1.0) * 1024
    square = Preprocessing(
        size=80,
        channels=1,
        resize="gaussian",
        factor=1,
        mean=(127.5,),
        std=(127.5 / 1024,),
        center_crop=True,
        greyscale="maxbit",
    )
    prepared = prepare(decode(film(pixels, **attributes), LIMIT, "maxbit"), square)
    assert prepared[:, :, 0] == pytest.approx(expected[8:88], abs=1e-3)


def test_maxbit_shows_no_negative_values() -> None:
    """Torchxrayvision gives numbers below its own range here, which no picture has."""
    facts = {"BitsStored": 16, "HighBit": 15, "PixelRepresentation": 1}
    values = SIGNED.view(np.int16).astype(np.float64)
    assert (values < 0).any()
    assert shown(SIGNED, "maxbit", **facts) == pytest.approx(values.clip(0) / 65535 * 255, abs=1e-4)


def as_published(pixels: NDArray[Any], *, negative: bool) -> NDArray[np.uint8]:
    """The steps of MIMIC-CXR-JPG on all pixels: less the lowest, by the highest, cut; inverted; equalised."""
    less = pixels.astype(np.int64) - int(pixels.min())
    greys = (less / less.max() * 255).astype(np.uint8)
    return np.asarray(cv2.equalizeHist(cv2.bitwise_not(greys) if negative else greys), dtype=np.uint8)


@pytest.mark.parametrize("name", FILMS)
def test_equalized_is_opencvs_of_the_range_in_whole_greys(name: str) -> None:
    pixels, attributes = FILMS[name]
    expected = as_published(pixels, negative=attributes == NEGATIVE)
    assert np.array_equal(shown(pixels, "equalized", **attributes), expected)
    assert (expected.min(), expected.max()) == (0, 255)


@pytest.mark.parametrize("greys", [1, 2, 3, 200])
def test_equalized_is_opencvs_for_any_number_of_greys(greys: int) -> None:
    for seed in range(20):
        pixels = np.random.default_rng(seed).integers(0, 4096, greys).astype(np.uint16)
        pixels = np.random.default_rng(seed).choice(pixels, (41, 37))
        found = shown(pixels, "equalized")
        expected = as_published(pixels, negative=False) if np.ptp(pixels) else np.zeros(pixels.shape)
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("name", ["chest_monochrome1_10bit_explicit_le", "chest_monochrome1_15bit_jpeg2000"])
def test_real_films_are_as_each_recipe_makes_them_of_pydicoms_pixels(name: str, real_data: Path) -> None:
    path = real_data / "dicom" / f"{name}.dcm"
    dataset, content = dcmread(path), path.read_bytes()
    pixels = dataset.pixel_array
    recipes: tuple[Recipe, ...] = ("minmax", "maxbit", "equalized")
    found = {recipe: decode(content, 2**24, recipe).values for recipe in recipes}
    values = pixels * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
    minmax = 255 - np.interp(values, (values.min(), values.max()), (0, 255))
    assert np.abs(found["minmax"] - minmax).max() < 1e-3
    maxbit = 255 - pixels / (2**dataset.BitsStored - 1) * 255
    assert np.abs(found["maxbit"] - maxbit).max() < 1e-3
    assert np.array_equal(found["equalized"], as_published(pixels, negative=True))


@pytest.mark.parametrize("recipe", ["minmax", "maxbit", "equalized"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_takes_no_part_in_any_recipe_and_is_black(recipe: Recipe, photometric: str) -> None:
    padded, outside = TWELVE.copy(), 0 if photometric == "MONOCHROME1" else 4095
    padded[:10] = outside
    facts = {"PhotometricInterpretation": photometric}
    found = shown(padded, recipe, PixelPaddingValue=outside, **facts)
    assert not found[:10].any()
    assert np.array_equal(found[10:], shown(TWELVE[10:], recipe, **facts))
    assert np.abs(found - shown(padded, recipe, **facts)).max() > 100


@pytest.mark.parametrize("recipe", ["minmax", "maxbit", "equalized"])
def test_pictures_without_pixels_but_padding_are_black(recipe: Recipe) -> None:
    assert not shown(np.full((8, 8), 5, np.uint16), recipe, PixelPaddingValue=5).any()


@pytest.mark.parametrize("content", [PLAIN, JPEG], ids=["PNG", "JPEG"])
def test_other_files_have_their_greys_already(content: bytes) -> None:
    plain = decode(content, LIMIT).values
    recipes: tuple[Recipe, ...] = ("minmax", "maxbit", "equalized")
    for recipe in recipes:
        assert np.array_equal(decode(content, LIMIT, recipe).values, plain)
