"""The network's input is what the card says, number by number."""

import hashlib
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from config.cards import Pixels
from workers.inference import pixels
from workers.inference.pictures import Picture

Resize = Literal["nearest", "bilinear"]
METHODS: dict[Resize, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
}

RNG = np.random.default_rng(14)
GREY = RNG.integers(0, 256, (211, 173), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (211, 173, 3), dtype=np.uint8)


def card_pixels(
    *, size: int = 96, channels: Literal[1, 3] = 3, resize: Resize = "bilinear", factor: float = 1 / 255
) -> Pixels:
    """Give ImageNet's numbers, of which no two are alike."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return Pixels(
        size=size,
        channels=channels,
        resize=resize,
        factor=factor,
        mean=mean[:channels],
        std=std[:channels],
    )


def by_definition(resized: NDArray[np.uint8], wanted: Pixels) -> NDArray[np.float64]:
    """Compute (value * factor - mean) / std in double precision, channel last."""
    as_channels = resized if resized.ndim == 3 else np.repeat(resized[..., None], wanted.channels, axis=-1)
    exact: NDArray[np.float64] = (as_channels.astype(np.float64) * wanted.factor - wanted.mean) / wanted.std
    return exact


@pytest.mark.parametrize("resize", METHODS)
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_picture_is_resized_by_pillow_and_scaled_by_the_card(
    resize: Resize, channels: Literal[1, 3]
) -> None:
    wanted = card_pixels(resize=resize, channels=channels)
    resized = np.asarray(Image.fromarray(GREY).resize((96, 96), METHODS[resize]))
    found = pixels.prepare(Picture(GREY), wanted)
    assert found.shape == (96, 96, channels)
    assert found.dtype == np.float32
    assert np.abs(found - by_definition(resized, wanted)).max() <= 1e-5


@pytest.mark.parametrize("resize", METHODS)
def test_colour_picture_keeps_its_channels_in_the_order_rgb(resize: Resize) -> None:
    wanted = card_pixels(resize=resize)
    resized = np.asarray(Image.fromarray(COLOUR).resize((96, 96), METHODS[resize]))
    found = pixels.prepare(Picture(COLOUR), wanted)
    assert found.shape == (96, 96, 3)
    assert found.dtype == np.float32
    assert np.abs(found - by_definition(resized, wanted)).max() <= 1e-5


@pytest.mark.parametrize("resize", METHODS)
def test_colour_picture_for_one_channel_is_its_luma(resize: Resize) -> None:
    wanted = card_pixels(resize=resize, channels=1)
    luma = Image.fromarray(COLOUR).convert("L").resize((96, 96), METHODS[resize])
    found = pixels.prepare(Picture(COLOUR), wanted)
    assert found.shape == (96, 96, 1)
    assert np.abs(found - by_definition(np.asarray(luma), wanted)).max() <= 1e-5


@pytest.mark.parametrize("resize", METHODS)
@pytest.mark.parametrize("channels", [1, 3])
def test_colour_picture_of_greys_is_the_grey_picture(resize: Resize, channels: Literal[1, 3]) -> None:
    # NIH ships some of its grey radiographs as RGBA.
    wanted = card_pixels(resize=resize, channels=channels)
    of_greys = Picture(np.repeat(GREY[..., None], 3, axis=-1))
    assert np.array_equal(pixels.prepare(of_greys, wanted), pixels.prepare(Picture(GREY), wanted))


@pytest.mark.parametrize("resize", METHODS)
def test_sixteen_bit_picture_is_within_a_grey_value_of_its_eight_bit_version(resize: Resize) -> None:
    wanted = Pixels(size=96, channels=1, resize=resize, factor=1.0, mean=(0.0,), std=(1.0,))
    deep = Picture(GREY.astype(np.float32))
    difference = np.abs(pixels.prepare(deep, wanted) - pixels.prepare(Picture(GREY), wanted))
    assert difference.max() <= (0.0 if resize == "nearest" else 1.0)


def test_picture_of_the_right_size_is_not_resampled() -> None:
    wanted = card_pixels(size=173, channels=1)
    square = GREY[:173]
    assert np.abs(pixels.prepare(Picture(square), wanted) - by_definition(square, wanted)).max() <= 1e-5


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3000, 40)])
def test_picture_of_any_shape_is_stretched_to_the_square(shape: tuple[int, int]) -> None:
    found = pixels.prepare(Picture(np.full(shape, 51, dtype=np.uint8)), card_pixels())
    assert found.shape == (96, 96, 3)
    assert found[0, 0] == pytest.approx(
        (np.array([0.2, 0.2, 0.2]) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    )
    assert np.ptp(found, axis=(0, 1)).max() == 0


def test_preparing_leaves_the_picture_as_it_is() -> None:
    kept = GREY.copy()
    pixels.prepare(Picture(kept), card_pixels(size=173))
    assert np.array_equal(kept, GREY)


@pytest.mark.parametrize(
    ("size", "sha256"),
    [
        (224, "c4e1cb561bd365637d602d08ac29f9ab43d057630049af2444cb73b97dacc57c"),
        (320, "d421f499fba85f48365a50c701b1d780fb6cd4ca55f973b44451c2e3b8326d4c"),
    ],
)
def test_golden_scores_are_about_the_same_pattern_for_ever(size: int, sha256: str) -> None:
    pattern = pixels.test_pattern(size).values
    assert pattern.dtype == np.uint8
    assert pattern.shape == (size, size)
    assert hashlib.sha256(pattern.tobytes()).hexdigest() == sha256
