"""What is read from an archive's folder, in which form, and what is refused with which reason."""

import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_support import GREY, JPEG, LIMIT, PLAIN, SIGNATURE, chunk, png, reason_of, saved
from PIL import Image
from support import READ_REASONS, ROOT

from config.failures import ImageUnusableError
from jobs.sources.folder import FolderSource
from workers.inference.formats.decode import decode, read_picture


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A root with one good picture and, beside it, one that is none of its business."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "good.png").write_bytes(PLAIN)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret.png").write_bytes(PLAIN)
    return folder


def refused_as(root: Path, image_index: str) -> ImageUnusableError:
    with pytest.raises(ImageUnusableError) as caught:
        read_picture(FolderSource(root), image_index, LIMIT)
    return caught.value


def refusal(root: Path, image_index: str) -> str:
    return refused_as(root, image_index).reason


def test_format_is_told_by_content_and_not_by_name(images: Path) -> None:
    (images / "jpeg.png").write_bytes(JPEG)
    (images / "without_ending").write_bytes(PLAIN)
    assert read_picture(FolderSource(images), "jpeg.png", LIMIT).values.shape == GREY.shape
    assert np.array_equal(read_picture(FolderSource(images), "without_ending", LIMIT).values, GREY)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("GIF", "a GIF"), ("BMP", "a BMP"), ("TIFF", "a TIFF"), ("WEBP", "a WebP"), ("JPEG2000", "a JPEG 2000")],
)
def test_other_formats_are_of_the_wrong_format_and_named_whatever_their_name(
    images: Path, kind: str, name: str
) -> None:
    (images / "other.png").write_bytes(saved(Image.fromarray(GREY), kind))
    refused = refused_as(images, "other.png")
    assert refused.reason == "wrong_format"
    assert refused.message == f"is {name} picture; convert it to PNG"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"This is no picture.\n", "is none of PNG, JPEG, DICOM, whatever its name"),
        (b"BMI and age of all patients", "is none of PNG, JPEG, DICOM, whatever its name"),
        (b"\0" * 64, "is none of PNG, JPEG, DICOM, whatever its name"),
        (b"P5 1 1 255 a", "is none of PNG, JPEG, DICOM, whatever its name"),
        (b"%PDF-1.7\n", "is a PDF document; extract its picture"),
        (PLAIN.replace(b"\r\n", b"\n"), "is a PNG that a transfer in text mode has changed"),
        (b"\n<!DOCTYPE html><title>Log in</title>", "is a web page or XML; download the picture again"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n",
            "is a Git LFS pointer; fetch the picture itself: git lfs pull",
        ),
    ],
)
def test_content_that_is_no_picture_is_named_where_it_can_be(images: Path, content: bytes, says: str) -> None:
    (images / "text.png").write_bytes(content)
    refused = refused_as(images, "text.png")
    assert refused.reason == "wrong_format"
    assert refused.message.startswith(says)


def test_limit_is_the_last_number_of_pixels_that_is_allowed() -> None:
    assert decode(PLAIN, 13 * 17).width == 17
    assert reason_of(PLAIN, 13 * 17 - 1) == "too_large"


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
        assert _attempt(scratch, "any.png") in READ_REASONS | {None}

    check()
