"""Every form of PNG keeps its values, and no damaged one gives another picture."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from picture_support import COLOUR, GREY, LIMIT, PLAIN, SIGNATURE, chunk, png, reason_of, saved, values
from PIL import Image

from workers.inference.formats.decode import decode


def test_grey_png_keeps_its_values() -> None:
    picture = decode(PLAIN, LIMIT)
    assert picture.values.dtype == np.uint8
    assert (picture.height, picture.width) == (13, 17)
    assert np.array_equal(picture.values, GREY)


def test_sixteen_bit_png_is_scaled_so_that_65535_is_exactly_255() -> None:
    deep = np.array([[0, 257, 514, 32_896, 65_278, 65_535]], dtype=np.uint16)
    found = values(saved(Image.fromarray(deep), "PNG"))
    assert found.dtype == np.float32
    assert found.tolist() == [[0.0, 1.0, 2.0, 128.0, 254.0, 255.0]]


def test_every_sixteen_bit_value_is_its_257th() -> None:
    deep = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    assert np.allclose(values(saved(Image.fromarray(deep), "PNG")), deep / 257, rtol=0, atol=2e-5)


def test_sixteen_bit_steps_finer_than_a_grey_value_survive() -> None:
    deep = np.array([[30_000, 30_001]], dtype=np.uint16)
    darker, lighter = values(saved(Image.fromarray(deep), "PNG"))[0].tolist()
    assert darker < lighter < darker + 0.01


def test_black_and_white_png_is_0_and_255() -> None:
    found = values(saved(Image.fromarray(GREY > 100), "PNG"))
    assert found.dtype == np.uint8
    assert np.array_equal(found, np.where(GREY > 100, 255, 0))


def test_alpha_of_a_grey_png_is_dropped() -> None:
    picture = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(255 - GREY)])
    assert np.array_equal(values(saved(picture, "PNG")), GREY)


def test_rgb_png_keeps_its_values() -> None:
    assert np.array_equal(values(saved(Image.fromarray(COLOUR), "PNG")), COLOUR)


def test_alpha_of_a_colour_png_is_dropped() -> None:
    with_alpha = np.concatenate([COLOUR, 255 - GREY[..., None]], axis=-1)
    assert np.array_equal(values(saved(Image.fromarray(with_alpha), "PNG")), COLOUR)


@pytest.mark.parametrize("transparency", [None, 3, bytes(range(256))], ids=["none", "one", "each"])
def test_palette_png_gives_the_palettes_colours(transparency: int | bytes | None) -> None:
    picture = Image.fromarray(GREY).convert("P")
    picture.putpalette([value for grey in range(256) for value in (grey, 255 - grey, grey // 2)])
    options = {} if transparency is None else {"transparency": transparency}
    assert np.array_equal(values(saved(picture, "PNG", **options)), COLOUR)


def test_interlaced_png_is_put_together() -> None:
    passes = [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]
    rows = b"".join(
        b"\0" + row.tobytes()
        for top, left, down, right in passes
        for row in GREY[top::down, left::right]
        if row.size
    )
    assert np.array_equal(values(png(17, 13, zlib.compress(rows), interlaced=True)), GREY)


def test_bytes_after_the_end_of_a_png_change_nothing() -> None:
    assert np.array_equal(values(PLAIN + b"padding"), GREY)


@given(cut=st.integers(0, len(PLAIN) - 1))
@example(cut=1)
@example(cut=8)
@example(cut=len(PLAIN) - 1)
@settings(deadline=None)
def test_png_cut_anywhere_is_truncated(cut: int) -> None:
    assert reason_of(PLAIN[:cut]) == "truncated"


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_png_that_lost_pixel_data_is_refused_though_every_checksum_is_right(kept: float) -> None:
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in GREY))
    assert np.array_equal(values(png(17, 13, packed)), GREY)
    assert reason_of(png(17, 13, packed[: int(kept * len(packed))])) == "truncated"


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT", b"IEND"])
def test_wrong_checksum_is_damage(kind: bytes) -> None:
    content = bytearray(PLAIN)
    start = content.index(kind)
    (length,) = struct.unpack_from(">I", content, start - 4)
    content[start + 4 + length] ^= 0x01
    assert reason_of(bytes(content)) == "damaged"


def test_every_flipped_bit_of_a_png_is_found() -> None:
    # The signature is compared and all else stands under a CRC-32, which finds every single bit; one in a
    # chunk's length makes the checksum be looked for in another place.
    for position in range(len(PLAIN)):
        for bit in range(8):
            content = bytearray(PLAIN)
            content[position] ^= 1 << bit
            expected = {"wrong_format"} if position < len(SIGNATURE) else {"damaged", "truncated"}
            assert reason_of(bytes(content)) in expected


@given(position=st.integers(0, len(PLAIN) - 1), value=st.integers(0, 255))
@settings(deadline=None)
def test_no_changed_byte_of_a_png_gives_another_picture(position: int, value: int) -> None:
    content = PLAIN[:position] + bytes([value]) + PLAIN[position + 1 :]
    if content == PLAIN:
        assert np.array_equal(values(content), GREY)
    else:
        reason_of(content)


@pytest.mark.parametrize(
    ("kind", "data"), [(b"iCCP", b"name"), (b"zTXt", b"x"), (b"tRNS", b""), (b"oDDs", b"")]
)
@pytest.mark.parametrize("depth", [8, 16])
def test_what_a_png_holds_beside_its_pixels_is_not_read(kind: bytes, data: bytes, depth: int) -> None:
    # A profile that ends with its name makes Pillow raise an IndexError: it looks for the byte behind it.
    grey = np.arange(256, dtype=f">u{depth // 8}").reshape(16, 16)
    rows = b"".join(b"\0" + row.tobytes() for row in grey)
    plain = png(16, 16, zlib.compress(rows), depth=depth)
    for place in (len(SIGNATURE) + 25, plain.index(b"IEND") - 4):
        content = plain[:place] + chunk(kind, data) + plain[place:]
        assert np.array_equal(values(content), values(plain))


@pytest.mark.parametrize(("width", "height"), [(0, 13), (17, 0)])
def test_picture_without_pixels_is_damaged(width: int, height: int) -> None:
    assert reason_of(png(width, height, zlib.compress(b""))) == "damaged"


def test_png_without_pixel_data_is_refused() -> None:
    header = PLAIN[: len(SIGNATURE) + 25]
    assert reason_of(header + chunk(b"IEND", b"")) in {"damaged", "truncated"}


@pytest.mark.parametrize("side", [100_000, 2**31 - 1])
def test_small_file_that_claims_to_be_huge_is_too_large(side: int) -> None:
    assert reason_of(png(side, side, zlib.compress(bytes(100)))) == "too_large"
