"""What is read from an archive's folder, in which form, and what is refused with which reason."""

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from support import ROOT

from config.failures import ImageUnusableError, Reason
from jobs.sources.folder import FolderSource
from workers.inference.formats.decode import decode, read_picture

LIMIT = 1_000_000
SIGNATURE = b"\x89PNG\r\n\x1a\n"

# A slope with a step: no two rows or columns are alike, so that a turned or shifted picture is seen.
GREY = (np.add.outer(np.arange(13) * 3, np.arange(17) * 11) + 40 * (np.arange(17) > 8)).astype(np.uint8)
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def png(width: int, height: int, pixels: bytes, *, depth: int = 8, interlaced: bool = False) -> bytes:
    """Build a grey PNG chunk by chunk, so that each of them can be made wrong."""
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, int(interlaced))
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


PLAIN = saved(Image.fromarray(GREY), "PNG")
JPEG = saved(Image.fromarray(GREY), "JPEG", quality=95)


def values(content: bytes) -> NDArray[np.generic]:
    return decode(content, LIMIT).values


def reason_of(content: bytes, limit: int = LIMIT) -> str:
    with pytest.raises(ImageUnusableError) as caught:
        decode(content, limit)
    assert caught.value.message
    return caught.value.reason


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A root with one good picture and, beside it, one that is none of its business."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "good.png").write_bytes(PLAIN)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret.png").write_bytes(PLAIN)
    return folder


def refusal(root: Path, image_index: str) -> str:
    with pytest.raises(ImageUnusableError) as caught:
        read_picture(FolderSource(root), image_index, LIMIT)
    return caught.value.reason


# --- every form that decodes -------------------------------------------------------------------------------


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


def test_format_is_told_by_content_and_not_by_name(images: Path) -> None:
    (images / "jpeg.png").write_bytes(JPEG)
    (images / "without_ending").write_bytes(PLAIN)
    assert read_picture(FolderSource(images), "jpeg.png", LIMIT).values.shape == GREY.shape
    assert np.array_equal(read_picture(FolderSource(images), "without_ending", LIMIT).values, GREY)


def test_bytes_after_the_end_of_a_png_change_nothing() -> None:
    assert np.array_equal(values(PLAIN + b"padding"), GREY)


# --- content that is refused -------------------------------------------------------------------------------


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


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "WEBP"])
def test_other_formats_are_of_the_wrong_format_whatever_their_name(images: Path, kind: str) -> None:
    (images / "other.png").write_bytes(saved(Image.fromarray(GREY), kind))
    assert refusal(images, "other.png") == "wrong_format"


@pytest.mark.parametrize(
    "content", [b"This is no picture.\n", b"\0" * 64, b"%PDF-1.7\n", b"\x89PNG\n\n\x1a\n...."]
)
def test_content_that_is_no_picture_is_of_the_wrong_format(images: Path, content: bytes) -> None:
    (images / "text.png").write_bytes(content)
    assert refusal(images, "text.png") == "wrong_format"


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


def test_limit_is_the_last_number_of_pixels_that_is_allowed() -> None:
    assert decode(PLAIN, 13 * 17).width == 17
    assert reason_of(PLAIN, 13 * 17 - 1) == "too_large"


@pytest.mark.parametrize("side", [100_000, 2**31 - 1])
def test_small_file_that_claims_to_be_huge_is_too_large(side: int) -> None:
    assert reason_of(png(side, side, zlib.compress(bytes(100)))) == "too_large"


def test_small_jpeg_that_claims_to_be_huge_is_too_large() -> None:
    content = bytearray(JPEG)
    struct.pack_into(">HH", content, content.index(b"\xff\xc0") + 5, 65_000, 65_000)
    assert reason_of(bytes(content)) == "too_large"


@pytest.mark.processes
def test_picture_of_900_million_pixels_is_refused_by_its_header(images: Path) -> None:
    side = 30_000
    packer = zlib.compressobj(1)
    row = bytes(1 + side // 8)
    pixels = b"".join(packer.compress(row * 500) for _ in range(side // 500)) + packer.flush()
    (images / "bomb.png").write_bytes(png(side, side, pixels, depth=1))
    program = """
import resource, sys, time
from pathlib import Path
from config.failures import ImageUnusableError, Reason
from jobs.sources.folder import FolderSource
from workers.inference.formats.decode import read_picture

before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
try:
    read_picture(FolderSource(Path(sys.argv[1])), "bomb.png", 64_000_000)
except ImageUnusableError as error:
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(error.reason, grown, time.monotonic() - start)
"""
    # A process of its own: the peak of this one's memory may lie anywhere.
    command = [sys.executable, "-c", program, str(images)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    reason, grown_kib, seconds = done.stdout.split()
    assert reason == "too_large"
    assert int(grown_kib) < 100 * 1024
    assert float(seconds) < 1


def test_file_with_more_bytes_than_its_pixels_can_have_is_not_read(images: Path) -> None:
    with (images / "sparse.png").open("wb") as file:
        file.truncate(2**40)
    assert refusal(images, "sparse.png") == "too_large"


# --- nothing else comes out --------------------------------------------------------------------------------


def _attempt(root: Path, name: str) -> str | None:
    """Give the reason of the refusal; every other exception is the test's failure."""
    try:
        read_picture(FolderSource(root), name, LIMIT)
    except ImageUnusableError as error:
        return error.reason
    return None


_chunks = st.builds(
    chunk,
    st.sampled_from(
        [b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"gAMA", b"pHYs", b"iCCP", b"zTXt", b"iTXt", b"eXIf"]
    ),
    st.binary(max_size=40),
)
CONTENT: dict[str, Callable[[], st.SearchStrategy[bytes]]] = {
    "anything": lambda: st.binary(max_size=2000),
    "after a signature": lambda: st.builds(
        bytes.__add__, st.sampled_from([SIGNATURE, b"\xff\xd8\xff\xe0"]), st.binary(max_size=500)
    ),
    "a PNG with a foreign chunk": lambda: st.builds(
        lambda added, at: PLAIN[:at] + added + PLAIN[at:],
        _chunks,
        st.sampled_from([8, 33, PLAIN.index(b"IEND") - 4]),
    ),
    "a JPEG with foreign bytes": lambda: st.builds(
        lambda added, at: JPEG[:at] + added + JPEG[at + len(added) :],
        st.binary(min_size=1, max_size=8),
        st.integers(0, len(JPEG)),
    ),
}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


# Pillow warns of some damage and reads on; that is no failure of the picture.
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", CONTENT)
def test_any_bytes_decode_or_are_refused_with_a_documented_reason(scratch: Path, kind: str) -> None:
    @given(content=CONTENT[kind]())
    @settings(max_examples=200, deadline=None)
    def check(content: bytes) -> None:
        (scratch / "any.png").write_bytes(content)
        assert _attempt(scratch, "any.png") in {*Reason, None}

    check()
