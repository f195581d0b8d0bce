"""DICOM files: which value is how bright, what is read, and what is refused with which reason."""

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_support import TWELVE, compressed, film, written
from numpy.typing import NDArray
from picture_support import COLOUR, GREY, JPEG, LIMIT, reason_of, values
from PIL import Image
from pydicom import Dataset
from pydicom.uid import MPEG2MPML, UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from config.cards.model import Classifier
from config.failures import ImageUnusableError
from workers.inference.formats.decode import decode
from workers.inference.formats.picture import Picture
from workers.inference.pixels import prepare


def window(center: float, width: float, **attributes: Any) -> bytes:
    return film(TWELVE, WindowCenter=center, WindowWidth=width, **attributes)


# --- brightness --------------------------------------------------------------------------------------------


def test_eight_bits_without_a_window_are_shown_as_they_are() -> None:
    assert np.array_equal(values(film(GREY)), GREY)
    assert values(film(GREY)).dtype == np.uint8


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME2", "IDENTITY", False),
    ],
)
def test_a_negative_is_inverted_once(photometric: str, shape: str | None, inverted: bool) -> None:
    shown = values(film(GREY, PhotometricInterpretation=photometric, PresentationLUTShape=shape))
    assert np.array_equal(shown, 255 - GREY if inverted else GREY)


def linear(x: float, center: float, width: float) -> float:
    """PS3.3 C.11.2.1.2.1, value by value."""
    if x <= center - 0.5 - (width - 1) / 2:
        return 0
    if x > center - 0.5 + (width - 1) / 2:
        return 255
    return ((x - (center - 0.5)) / (width - 1) + 0.5) * 255


def linear_exact(x: float, center: float, width: float) -> float:
    """PS3.3 C.11.2.1.3.2, value by value."""
    if x <= center - width / 2:
        return 0
    return 255 if x > center + width / 2 else ((x - center) / width + 0.5) * 255


def sigmoid(x: float, center: float, width: float) -> float:
    """PS3.3 C.11.2.1.3.1, value by value."""
    return 255 / (1 + math.exp(min(-4 * (x - center) / width, 700)))


@pytest.mark.parametrize("function", [linear, linear_exact, sigmoid])
@pytest.mark.parametrize(("center", "width"), [(2048, 4096), (1000, 300.5), (5000, 100), (700, 1)])
def test_a_window_is_the_standards(
    function: Callable[[float, float, float], float], center: float, width: float
) -> None:
    found = values(window(center, width, VOILUTFunction=function.__name__.upper()))
    expected = np.vectorize(lambda x: function(float(x), center, width), otypes=[float])
    if function is linear and width == 1:
        assert np.array_equal(found, np.where(center - 0.5 < TWELVE, 255, 0))
    else:
        assert np.abs(found - expected(TWELVE)).max() < 1e-3


def test_signed_values_are_rescaled_before_their_window() -> None:
    signed = TWELVE.astype(np.int32) - 2048
    stored = (signed & 0xFFF).astype(np.uint16)
    found = values(
        film(
            stored,
            PixelRepresentation=1,
            RescaleSlope=2,
            RescaleIntercept=-100,
            WindowCenter=0,
            WindowWidth=3000,
        )
    )
    expected = np.vectorize(lambda x: linear(2.0 * x - 100, 0, 3000), otypes=[float])(signed)
    assert np.abs(found - expected).max() < 1e-3


def test_the_first_of_several_windows_counts() -> None:
    several = film(TWELVE, WindowCenter=[1000, 2000], WindowWidth=[500, 600])
    assert np.array_equal(values(several), values(window(1000, 500)))


@pytest.mark.parametrize(("center", "width"), [(1000, 0), (None, 400), (1000, None), ("", "")])
def test_without_a_usable_window_the_range_of_the_picture_is_shown(center: Any, width: Any) -> None:
    narrow = (TWELVE // 16 + 300).astype(np.uint16)
    found = values(film(narrow, WindowCenter=center, WindowWidth=width))
    low, high = int(narrow.min()), int(narrow.max())
    assert np.abs(found - (narrow - low) * (255 / (high - low))).max() < 1e-3


def test_a_lut_goes_before_a_window_and_has_bits_of_its_own() -> None:
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 10]
    item.add_new("LUTData", "US", [1023 - value // 4 for value in range(4096)])
    found = values(window(100, 20, VOILUTSequence=[item]))
    assert np.abs(found - (1023 - TWELVE // 4) * (255 / 1023)).max() < 1e-3


def test_bits_above_the_stored_ones_are_no_part_of_a_value() -> None:
    garbage = TWELVE | (np.uint16(0xF000) & (TWELVE << 7))
    assert np.array_equal(
        values(film(garbage, WindowCenter=2048, WindowWidth=4096)), values(window(2048, 4096))
    )
    shifted = values(film(TWELVE << 4, HighBit=15, WindowCenter=2048, WindowWidth=4096))
    assert np.array_equal(shifted, values(window(2048, 4096)))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_counts_for_nothing(photometric: str) -> None:
    inside = (TWELVE // 16 + 300).astype(np.uint16)
    padded = inside.copy()
    padded[:, :3] = 4095
    padded[0] = 4000
    padding = {"PixelPaddingValue": 4000, "PixelPaddingRangeLimit": 4095}
    found = values(film(padded, PhotometricInterpretation=photometric, **padding))
    assert not found[:, :3].any()
    assert not found[0].any()
    low, high = int(inside[1:, 3:].min()), int(inside[1:, 3:].max())
    expected = (inside[1:, 3:] - low) * (255 / (high - low))
    assert np.abs(found[1:, 3:] - (255 - expected if photometric == "MONOCHROME1" else expected)).max() < 1e-3


def test_a_real_film_and_its_forged_negative_are_each_others_inverse(real_data: Path) -> None:
    folder = real_data / "dicom"
    positive, negative = (
        decode((folder / f"chest_{name}_jpeg_baseline.dcm").read_bytes(), 2**22).values
        for name in ("monochrome2", "forged_monochrome1")
    )
    assert int(positive.max()) - int(positive.min()) > 200
    assert np.array_equal(negative, 255 - positive)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_real_radiographs_as_dicom_are_prepared_as_their_pngs(
    real_data: Path, untrained: Classifier, photometric: str
) -> None:
    pixels = untrained.card.pixels
    paths = sorted((real_data / "nih" / "images").glob("*.png"))[:20]
    assert len(paths) == 20
    for path in paths:
        picture = decode(path.read_bytes(), LIMIT * 4)
        grey = np.asarray(Image.fromarray(picture.values).convert("L"))
        stored = 255 - grey if photometric == "MONOCHROME1" else grey
        as_dicom = decode(film(stored, PhotometricInterpretation=photometric), LIMIT * 4)
        assert np.array_equal(prepare(as_dicom, pixels), prepare(Picture(grey), pixels))


# --- what is read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("pixels", [GREY, TWELVE], ids=["8 bits", "12 bits"])
def test_every_uncompressed_syntax_gives_the_same_picture(syntax: UID, pixels: NDArray[Any]) -> None:
    assert np.array_equal(values(film(pixels, syntax)), values(film(pixels)))


@pytest.mark.parametrize("fragments", [1, 3])
def test_baseline_jpeg_is_read_as_a_jpeg_file_is(fragments: int) -> None:
    assert np.array_equal(values(compressed(JPEG, fragments=fragments)), values(JPEG))


@pytest.mark.parametrize("planar", [0, 1])
def test_colour_stays_colour(planar: int) -> None:
    pixels = np.moveaxis(COLOUR, -1, 0) if planar else COLOUR
    facts: dict[str, Any] = {
        "Rows": 13,
        "Columns": 17,
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": planar,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
    }
    content = pixels.tobytes()
    assert np.array_equal(values(written(content + b"\0" * (len(content) % 2), **facts)), COLOUR)


# --- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (compressed(b"\0" * 64, MPEG2MPML), "compressed as MPEG2 Main Profile"),
        (
            film(GREY).replace(b"840.10008.1.2.1", b"999.10008.1.2.1"),
            "compressed as the standard does not say",
        ),
        (film(GREY, NumberOfFrames=2), "several frames"),
        (film(GREY, PhotometricInterpretation="PALETTE COLOR"), "PALETTE COLOR"),
        (film(GREY, PhotometricInterpretation="SEEDED"), "unknown to the standard"),
        (film(GREY, Rows=None), "is a DICOM object without a picture"),
    ],
)
def test_what_is_not_read_is_named_with_a_way_out(content: bytes, says: str) -> None:
    with pytest.raises(ImageUnusableError) as caught:
        decode(content, LIMIT)
    assert caught.value.reason == "wrong_format"
    assert says in caught.value.message


def test_a_cut_is_seen_in_words_and_in_fragments() -> None:
    for whole in (
        film(TWELVE),
        compressed(JPEG),
        compressed(JPEG, fragments=2),
    ):
        for share in (0.6, 0.9, 0.99):
            assert reason_of(whole[: int(len(whole) * share)]) in {"truncated", "damaged"}
        assert values(whole).shape == (13, 17)


def test_a_picture_beyond_the_limit_is_refused_by_its_header() -> None:
    assert reason_of(film(GREY), 13 * 17 - 1) == "too_large"
    assert reason_of(film(GREY, Rows=60_000, Columns=60_000)) == "too_large"


def test_a_jpeg_of_another_size_than_the_header_says_is_damaged() -> None:
    assert reason_of(compressed(JPEG, Rows=12)) == "damaged"


def outcome(content: bytes) -> str:
    """How a file ends: its reason, whose message holds no name, or `scored` with values in range."""
    try:
        picture = decode(content, LIMIT)
    except ImageUnusableError as error:
        return "a name" if "SEEDED" in error.message else str(error.reason)
    assert picture.values.min() >= 0
    assert picture.values.max() <= 255
    assert picture.height * picture.width <= LIMIT
    return "scored"


def test_whatever_byte_is_changed_the_picture_is_read_or_refused_with_a_reason_and_no_name() -> None:
    rng = random.Random(5)
    outcomes = set()
    for whole in (film(TWELVE, WindowCenter=2000, WindowWidth=3000), compressed(JPEG)):
        for _ in range(400):
            changed = bytearray(whole)
            for _ in range(rng.choice((1, 1, 4))):
                changed[rng.randrange(132, len(changed))] = rng.randrange(256)
            outcomes.add(outcome(bytes(changed)))
    assert {"scored", "damaged", "truncated"} <= outcomes
    assert "a name" not in outcomes
