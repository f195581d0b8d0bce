"""The network's input is what the card says, number by number."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from config.cards.classification import Preprocessing
from jobs.sources.folder import FolderSource
from workers.inference import pixels
from workers.inference.formats.decode import read_picture
from workers.inference.formats.picture import Picture
from workers.inference.region import visible_region

Resize = Literal["nearest", "bilinear", "linear", "gaussian"]
METHODS: dict[Resize, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
}

# skimage.transform.resize's arguments; XRayResizer resizes -1024 to 1024 with 0 outside, which is mid-grey.
SKIMAGE: dict[Resize, dict[str, Any]] = {
    "linear": {"anti_aliasing": False},
    "gaussian": {"anti_aliasing": True, "mode": "constant", "cval": 127.5},
}
# scikit-image computes in float64, the cards' input is float32: 2 ** -24 of the range, some times added up.
ROUNDING = 255 * 1e-6
LIMIT = 64_000_000

RNG = np.random.default_rng(14)
GREY = RNG.integers(0, 256, (211, 173), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (211, 173, 3), dtype=np.uint8)


def card_pixels(
    *, size: int = 96, channels: Literal[1, 3] = 3, resize: Resize = "bilinear", factor: float = 1 / 255
) -> Preprocessing:
    """Give ImageNet's numbers, of which no two are alike."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return Preprocessing(
        size=size,
        channels=channels,
        resize=resize,
        factor=factor,
        mean=mean[:channels],
        std=std[:channels],
    )


def as_it_is(
    size: int, channels: Literal[1, 3], resize: Resize, *, center_crop: bool = False
) -> Preprocessing:
    """Give a card whose input are the resized values themselves."""
    return Preprocessing(
        size=size,
        channels=channels,
        resize=resize,
        factor=1.0,
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        center_crop=center_crop,
    )


def drawn(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Give noise of all grey values: nothing is harder to resize."""
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def by_skimage(values: NDArray[Any], size: int, resize: Resize) -> NDArray[np.float64]:
    """Resize with scikit-image: (size, size, channels)."""
    from skimage.transform import resize as skimage_resize

    resized = skimage_resize(values, (size, size), order=1, preserve_range=True, **SKIMAGE[resize])
    return np.asarray(resized, dtype=np.float64).reshape(size, size, -1)


def by_definition(resized: NDArray[np.uint8], wanted: Preprocessing) -> NDArray[np.float64]:
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
    wanted = Preprocessing(size=96, channels=1, resize=resize, factor=1.0, mean=(0.0,), std=(1.0,))
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


# --- the same pixels as the library that the model was trained with ----------------------------------------

SHAPES = [
    (211, 173),
    (96, 300),
    (97, 95),
    (95, 96),
    (50, 61),
    (500, 40),
    (40, 500),
    (1, 500),
    (500, 1),
    (1, 1),
    (211, 173, 3),
    (50, 61, 3),
]


@pytest.fixture(scope="module")
def radiographs(real_data: Path) -> list[tuple[Path, Picture]]:
    """Two grey radiographs of the NIH, and one of those that it ships as RGBA."""
    files = sorted((real_data / "nih" / "images").glob("*.png"))
    by_mode: dict[str, list[Path]] = {"L": [], "RGBA": []}
    for file in files:
        with Image.open(file) as picture:
            by_mode[picture.mode].append(file)
    chosen = by_mode["L"][:2] + by_mode["RGBA"][:1]
    assert len(chosen) == 3
    return [(file, read_picture(FolderSource(file.parent), file.name, LIMIT)) for file in chosen]


def by_keras(file: Path, size: int) -> NDArray[np.float32]:
    """Load as the generators of Keras do: RGB, nearest."""
    import keras

    loaded: NDArray[np.float32] = keras.utils.img_to_array(
        keras.utils.load_img(file, target_size=(size, size))
    )
    return loaded


@pytest.mark.tensorflow
@pytest.mark.parametrize("shape", SHAPES)
def test_nearest_is_what_keras_loads(shape: tuple[int, ...], tmp_path: Path) -> None:
    file = tmp_path / "drawn.png"
    Image.fromarray(drawn(shape)).save(file)
    found = pixels.prepare(read_picture(FolderSource(tmp_path), file.name, LIMIT), as_it_is(96, 3, "nearest"))
    assert np.array_equal(found, by_keras(file, 96))


@pytest.mark.tensorflow
@pytest.mark.parametrize("size", [224, 320])
def test_nearest_of_radiographs_is_what_keras_loads(
    radiographs: list[tuple[Path, Picture]], size: int
) -> None:
    for file, picture in radiographs:
        found = pixels.prepare(picture, as_it_is(size, 3, "nearest"))
        assert np.array_equal(found, by_keras(file, size)), file.name


@pytest.mark.parametrize("shape", SHAPES)
def test_bilinear_is_pillows(shape: tuple[int, ...]) -> None:
    values = drawn(shape)
    resized = Image.fromarray(values).resize((96, 96), Image.Resampling.BILINEAR).convert("RGB")
    found = pixels.prepare(Picture(values), as_it_is(96, 3, "bilinear"))
    assert np.array_equal(found, np.asarray(resized))


def test_bilinear_of_radiographs_is_pillows(radiographs: list[tuple[Path, Picture]]) -> None:
    for file, picture in radiographs:
        with Image.open(file) as opened:
            resized = opened.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
        found = pixels.prepare(picture, as_it_is(224, 3, "bilinear"))
        assert np.array_equal(found, np.asarray(resized)), file.name


@pytest.mark.parametrize("resize", SKIMAGE)
@pytest.mark.parametrize("shape", SHAPES)
def test_linear_and_gaussian_are_those_of_skimage(resize: Resize, shape: tuple[int, ...]) -> None:
    values = drawn(shape)
    found = pixels.prepare(Picture(values), as_it_is(96, 3, resize))
    assert np.abs(found - by_skimage(values, 96, resize)).max() <= ROUNDING


@pytest.mark.parametrize("resize", SKIMAGE)
def test_linear_and_gaussian_of_radiographs_are_those_of_skimage(
    radiographs: list[tuple[Path, Picture]], resize: Resize
) -> None:
    for file, picture in radiographs:
        found = pixels.prepare(picture, as_it_is(224, 3, resize))
        assert np.abs(found - by_skimage(picture.values, 224, resize)).max() <= ROUNDING, file.name


@pytest.mark.parametrize("resize", SKIMAGE)
@pytest.mark.parametrize("lowest", [0, 235])
@pytest.mark.parametrize("shape", [(211, 173), (50, 61)])
def test_picture_without_mid_grey_keeps_to_its_own_range(
    resize: Resize, lowest: int, shape: tuple[int, int]
) -> None:
    # scikit-image clips to the picture's range: the mid-grey outside is not to change a border beyond it.
    values = (lowest + drawn(shape) % 21).astype(np.uint8)
    found = pixels.prepare(Picture(values), as_it_is(96, 1, resize))
    assert lowest - ROUNDING <= found.min() <= found.max() <= lowest + 20 + ROUNDING
    assert np.abs(found - by_skimage(values, 96, resize)).max() <= ROUNDING


@pytest.mark.parametrize("resize", SKIMAGE)
def test_sixteen_bit_greys_are_resized_as_they_are(resize: Resize) -> None:
    deep = drawn((211, 173)) * np.float32(1 / 3)
    found = pixels.prepare(Picture(deep), as_it_is(96, 1, resize))
    assert np.abs(found - by_skimage(deep, 96, resize)).max() <= ROUNDING


def test_linear_is_what_chexnet_keras_computed_with_the_scikit_image_of_its_time(
    radiographs: list[tuple[Path, Picture]],
) -> None:
    # Its resize() was this warp; its border differs from today's only where a picture is enlarged.
    from skimage.transform import AffineTransform, warp

    for file, picture in radiographs:
        with Image.open(file) as opened:
            values = np.asarray(opened.convert("RGB")) / 255.0
        step = picture.width / 224
        centres = AffineTransform(scale=step, translation=(step / 2 - 0.5, step / 2 - 0.5))
        resized = warp(values, centres, output_shape=(224, 224), order=1)
        expected = (resized - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        found = pixels.prepare(picture, card_pixels(size=224, resize="linear"))
        assert np.abs(found - expected).max() <= 1e-5, file.name


# --- the square in the middle ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (4, 7, (0, 1, 4)),
        (3, 6, (0, 2, 3)),  # one column more to the left than to the right: torchxrayvision's rounding
        (6, 3, (2, 0, 3)),
        (3, 7, (0, 2, 3)),
        (5, 5, (0, 0, 5)),
        (1, 1, (0, 0, 1)),
        (2991, 2544, (223, 0, 2544)),
    ],
)
def test_square_is_the_largest_in_the_middle(height: int, width: int, expected: tuple[int, int, int]) -> None:
    seen = visible_region(as_it_is(96, 1, "nearest", center_crop=True), width, height)
    assert (seen.top, seen.left, seen.height) == expected
    assert seen.width == seen.height


@pytest.mark.parametrize("resize", [*METHODS, *SKIMAGE])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("of", [GREY, COLOUR], ids=["grey", "colour"])
def test_only_the_square_is_resized(resize: Resize, channels: Literal[1, 3], of: NDArray[np.uint8]) -> None:
    cropped = pixels.prepare(Picture(of), as_it_is(96, channels, resize, center_crop=True))
    by_hand = np.ascontiguousarray(of[19 : 19 + 173])
    assert np.array_equal(cropped, pixels.prepare(Picture(by_hand), as_it_is(96, channels, resize)))
    assert not np.array_equal(cropped, pixels.prepare(Picture(of), as_it_is(96, channels, resize)))


def test_card_that_does_not_speak_of_the_square_keeps_its_fingerprint() -> None:
    # The fingerprint is taken of what differs from its default.
    assert "center_crop" not in as_it_is(96, 1, "nearest").model_dump(exclude_defaults=True)


# --- what else stays as it is ------------------------------------------------------------------------------


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


# --- resized first, the middle cut out ---------------------------------------------------------------------


def first_resized(
    first: int | tuple[int, int], resize: Literal["bilinear", "tensor"] = "bilinear"
) -> Preprocessing:
    return Preprocessing(
        size=96, channels=1, resize=resize, factor=1.0, mean=(0.0,), std=(1.0,), resize_first=first
    )


@pytest.mark.parametrize(("first", "whole"), [(128, (156, 128)), ((130, 140), (130, 140))])
def test_middle_of_the_resized_picture_is_cut_out(
    first: int | tuple[int, int], whole: tuple[int, int]
) -> None:
    height, width = whole
    resized = np.asarray(Image.fromarray(GREY).resize((width, height), Image.Resampling.BILINEAR))
    top, left = round((height - 96) / 2), round((width - 96) / 2)
    expected = resized[top : top + 96, left : left + 96]
    assert np.array_equal(pixels.prepare(Picture(GREY), first_resized(first))[..., 0], expected)


def test_map_of_a_cut_out_middle_covers_that_part_of_the_picture() -> None:
    region = visible_region(first_resized(128), 400, 200)
    assert (region.left, region.top, region.width, region.height) == (125, 25, 150, 150)
    square = visible_region(first_resized(128), 1024, 1024)
    assert (square.left, square.top, square.width, square.height) == (128, 128, 768, 768)


def test_tensor_is_what_tensorflow_resizes(tensorflow: Any) -> None:
    card = Preprocessing(size=96, channels=3, resize="tensor", factor=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    expected = tensorflow.image.resize(COLOUR, (96, 96)).numpy()
    np.testing.assert_allclose(pixels.prepare(Picture(COLOUR), card), expected, rtol=0, atol=1e-2)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"resize_first": 80}, "resize_first 80 is less than size 96"),
        ({"resize_first": (256, 80)}, "resize_first 80 is less than size 96"),
        ({"resize_first": 256, "center_crop": True}, "two ways to cut out the middle"),
        ({"ten_crops": True}, "ten_crops are cut out of a larger picture; resize_first says how large"),
        ({"standardize": True}, "mean must be 0 and std 1"),
    ],
)
def test_card_whose_parts_do_not_fit_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Preprocessing.model_validate(card_pixels().model_dump() | fields)


def test_card_that_does_not_resize_first_keeps_its_fingerprint() -> None:
    assert "resize_first" not in card_pixels().model_dump(exclude_defaults=True)
    assert card_pixels().fingerprint != first_resized(128).fingerprint


# --- ten crops, and each by itself -------------------------------------------------------------------------


def test_views_of_a_card_without_ten_crops_are_the_one_that_is_prepared() -> None:
    for wanted in (card_pixels(), first_resized(128)):
        views = pixels.prepare_views(Picture(GREY), wanted)
        assert views.shape == (1, 96, 96, wanted.channels)
        assert np.array_equal(views[0], pixels.prepare(Picture(GREY), wanted))


@pytest.mark.parametrize("of", [GREY, COLOUR], ids=["grey", "colour"])
def test_ten_crops_are_the_middle_and_the_corners_of_the_picture_and_of_its_mirror_image(
    of: NDArray[np.uint8],
) -> None:
    # 43 columns are left beside the middle: that of the mirror image is another.
    wanted = card_pixels().model_copy(update={"resize_first": (130, 139), "ten_crops": True})
    whole = by_definition(
        np.asarray(Image.fromarray(of).resize((139, 130), Image.Resampling.BILINEAR)), wanted
    )
    places = [(17, 22), (0, 0), (0, 43), (34, 0), (34, 43)]
    ten = [part[y : y + 96, x : x + 96] for part in (whole, whole[:, ::-1]) for y, x in places]
    views = pixels.prepare_views(Picture(of), wanted)
    assert views.dtype == np.float32
    assert np.abs(views - np.stack(ten)).max() <= 1e-5
    assert np.array_equal(views[0], pixels.prepare(Picture(of), wanted))


def test_maps_of_ten_crops_are_of_the_middle() -> None:
    ten = first_resized(128).model_copy(update={"ten_crops": True})
    assert visible_region(ten, 400, 200) == visible_region(first_resized(128), 400, 200)


STANDARDISED = {"mean": (0.0,) * 3, "std": (1.0,) * 3, "standardize": True}


@pytest.mark.parametrize("shape", [(211, 173), (96, 300, 3), (40, 500), (96, 96, 3)])
@pytest.mark.parametrize("factor", [1.0, 1 / 255])
@pytest.mark.parametrize("first", [None, 110])
def test_standardised_picture_is_tensorflows(
    tensorflow: Any, shape: tuple[int, ...], factor: float, first: int | None
) -> None:
    plain = as_it_is(96, 3, "bilinear").model_copy(update={"factor": factor, "resize_first": first})
    values = pixels.prepare(Picture(drawn(shape)), plain)
    expected = tensorflow.image.per_image_standardization(values).numpy()
    found = pixels.prepare(Picture(drawn(shape)), plain.model_copy(update=STANDARDISED))
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= 1e-5
    assert found.std() == pytest.approx(1)


def test_standardised_picture_of_one_grey_is_tensorflows(tensorflow: Any) -> None:
    even = Picture(np.full((50, 61), 77, np.uint8))
    wanted = as_it_is(96, 3, "bilinear").model_copy(update=STANDARDISED)
    expected = tensorflow.image.per_image_standardization(np.full((96, 96, 3), 77, np.float32)).numpy()
    assert np.array_equal(pixels.prepare(even, wanted), expected)


def test_each_of_ten_crops_is_standardised_by_itself() -> None:
    wanted = card_pixels().model_copy(update={"resize_first": 128, "ten_crops": True} | STANDARDISED)
    views = pixels.prepare_views(Picture(GREY), wanted)
    assert np.abs(views.mean(axis=(1, 2, 3))).max() < 1e-5
    assert views.std(axis=(1, 2, 3)) == pytest.approx(np.ones(10), abs=1e-5)


def test_card_that_speaks_of_neither_keeps_its_fingerprint() -> None:
    assert not {"ten_crops", "standardize"} & card_pixels().model_dump(exclude_defaults=True).keys()
