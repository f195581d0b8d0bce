"""A picture is scored as viewers show it, whichever way its file has its pixels."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_support import COLOUR, GREY, PLAIN, chunk, saved, values
from PIL import Image, ImageOps

from workers.inference.formats.orientation import upright
from workers.inference.formats.picture import Picture

ORIENTATION = 0x0112


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[ORIENTATION] = orientation
    return made


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_is_shown_as_pillow_shows_it(
    kind: str, pixels: np.ndarray, orientation: int
) -> None:
    content = saved(Image.fromarray(pixels), kind, exif=exif(orientation))
    plain = Image.fromarray(values(saved(Image.fromarray(pixels), kind)))
    plain.getexif()[ORIENTATION] = orientation
    found = values(content)
    assert np.array_equal(found, np.asarray(ImageOps.exif_transpose(plain)))
    assert found.flags.c_contiguous


@pytest.mark.parametrize("order", "<>")
def test_either_byte_order_is_read(order: str) -> None:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    tiff = mark + struct.pack(f"{order}IHHHIHH", 8, 1, ORIENTATION, 3, 1, 8, 0)
    turned = values(PLAIN[:33] + chunk(b"eXIf", tiff) + PLAIN[33:])
    assert np.array_equal(turned, np.rot90(GREY))


@given(st.binary(max_size=60).map(lambda rest: b"MM\0*" + rest) | st.binary(max_size=60))
def test_any_exif_leaves_the_values_of_a_picture(content: bytes) -> None:
    found = upright(Picture(GREY), content)
    assert sorted(found.values.ravel()) == sorted(GREY.ravel())


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_there_is_not_changes_nothing(orientation: int) -> None:
    content = saved(Image.fromarray(GREY), "PNG", exif=exif(orientation))
    assert np.array_equal(values(content), GREY)
