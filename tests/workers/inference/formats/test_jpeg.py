"""Every form of JPEG is close to what was saved; one that is cut or claims too much is refused."""

import struct

import numpy as np
import pytest
from picture_support import COLOUR, GREY, JPEG, reason_of, saved, values
from PIL import Image

from config.failures import ImageUnusableError


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_grey_jpeg_is_close_to_what_was_saved(options: dict[str, bool]) -> None:
    found = values(saved(Image.fromarray(GREY), "JPEG", quality=95, **options))
    assert found.dtype == np.uint8
    assert found.shape == GREY.shape
    assert np.abs(found.astype(int) - GREY).max() <= 8


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_colour_jpeg_is_close_to_what_was_saved(options: dict[str, bool]) -> None:
    found = values(saved(Image.fromarray(COLOUR), "JPEG", quality=95, subsampling=0, **options))
    assert found.shape == COLOUR.shape
    assert np.abs(found.astype(int) - COLOUR).max() <= 16


def test_cmyk_jpeg_becomes_rgb_and_is_not_inverted() -> None:
    found = values(saved(Image.fromarray(COLOUR).convert("CMYK"), "JPEG", quality=95))
    assert found.shape == COLOUR.shape
    assert np.abs(found.astype(int) - COLOUR).mean() <= 4


def test_jpeg_cut_among_its_pixels_is_truncated() -> None:
    scan = JPEG.index(b"\xff\xda")
    assert {reason_of(JPEG[:cut]) for cut in range(scan + 16, len(JPEG) - 16, 5)} == {"truncated"}


def test_jpeg_cut_anywhere_is_refused_or_complete() -> None:
    # Without its last bytes a JPEG may still have every pixel.
    for cut in range(2, len(JPEG)):
        try:
            assert np.array_equal(values(JPEG[:cut]), values(JPEG))
        except ImageUnusableError as error:
            assert error.reason in {"truncated", "damaged"}  # noqa: PT017  # both outcomes are right


def test_small_jpeg_that_claims_to_be_huge_is_too_large() -> None:
    content = bytearray(JPEG)
    struct.pack_into(">HH", content, content.index(b"\xff\xc0") + 5, 65_000, 65_000)
    assert reason_of(bytes(content)) == "too_large"
