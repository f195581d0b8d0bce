"""A picture of 12 bits in 16 is scored as the 8-bit picture that it is, or not at all."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from picture_support import LIMIT, PLAIN, chunk, saved
from PIL import Image

from config.failures import ImageUnusableError
from jobs.sources.folder import FolderSource
from workers.inference.formats.decode import read_picture
from workers.inference.formats.picture import Values

EIGHT = (np.add.outer(np.arange(40) * 3, np.arange(60) * 4) % 256).astype(np.uint8)
HEADER_END = 33


def of_bits(bits: int) -> NDArray[np.uint16]:
    return np.asarray(EIGHT.astype(np.uint32) * (2**bits - 1) // 255, dtype=np.uint16)


def read(folder: Path, content: bytes, bits: int | None = None) -> Values:
    (folder / "a.png").write_bytes(content)
    return read_picture(FolderSource(folder), "a.png", LIMIT, bits).values


def reason_of(folder: Path, content: bytes, bits: int | None = None) -> str:
    with pytest.raises(ImageUnusableError) as caught:
        read(folder, content, bits)
    return caught.value.reason


def deep(values: NDArray[np.uint16], significant: int | None = None) -> bytes:
    content = saved(Image.fromarray(values), "PNG")
    said = b"" if significant is None else chunk(b"sBIT", bytes([significant]))
    return content[:HEADER_END] + said + content[HEADER_END:]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 15, 16])
def test_a_picture_of_the_bits_that_are_said_is_the_8_bit_picture(tmp_path: Path, bits: int) -> None:
    found = read(tmp_path, deep(of_bits(bits)), bits)
    assert found.dtype == np.float32
    assert np.abs(found - EIGHT).max() <= 255 / (2**bits - 1) + 1e-4


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 15])
def test_a_picture_that_would_be_scored_too_dark_is_not_scored(tmp_path: Path, bits: int) -> None:
    assert reason_of(tmp_path, deep(of_bits(bits))) == "wrong_depth"


def test_16_bits_that_are_used_need_no_word(tmp_path: Path) -> None:
    assert np.abs(read(tmp_path, deep(of_bits(16))) - EIGHT).max() < 1e-4
    assert read(tmp_path, deep(np.full((40, 40), 32_768, dtype=np.uint16)))[0, 0] > 127


def test_a_dark_picture_of_16_bits_is_scored_as_it_is_where_that_is_said(tmp_path: Path) -> None:
    assert read(tmp_path, deep(of_bits(12)), 16).max() < 16


def test_values_that_do_not_fit_the_bits_that_are_said_are_not_scored(tmp_path: Path) -> None:
    assert reason_of(tmp_path, deep(of_bits(14)), 12) == "wrong_depth"


def test_an_8_bit_picture_is_the_same_whatever_is_said(tmp_path: Path) -> None:
    assert np.array_equal(read(tmp_path, PLAIN, 12), read(tmp_path, PLAIN))


def test_significant_bits_are_taken_at_their_word_whether_shifted_or_not(tmp_path: Path) -> None:
    as_they_are = read(tmp_path, deep(of_bits(12), 12))
    shifted = read(tmp_path, deep(of_bits(12) * np.uint16(16), 12))
    assert np.abs(as_they_are - EIGHT).max() <= 255 / 4095 + 1e-4
    assert np.abs(shifted - EIGHT).max() <= 2 * 255 / 4095


def test_the_pictures_own_word_counts_more_than_the_runs(tmp_path: Path) -> None:
    assert np.array_equal(read(tmp_path, deep(of_bits(12), 12), 14), read(tmp_path, deep(of_bits(12), 12)))


@pytest.mark.parametrize("significant", [0, 16, 200])
def test_significant_bits_that_say_nothing_are_passed_over(tmp_path: Path, significant: int) -> None:
    assert reason_of(tmp_path, deep(of_bits(12), significant)) == "wrong_depth"


def test_a_flat_picture_is_left_to_the_check_of_its_contrast(tmp_path: Path) -> None:
    assert not read(tmp_path, deep(np.zeros((40, 40), dtype=np.uint16))).any()


def test_12_bits_in_colour_are_refused_since_their_lower_half_is_lost(tmp_path: Path) -> None:
    _, content = cv2.imencode(".png", np.dstack([of_bits(12)] * 3))
    assert reason_of(tmp_path, content.tobytes()) == "wrong_depth"
    assert reason_of(tmp_path, content.tobytes(), 12) == "wrong_depth"
    _, content = cv2.imencode(".png", np.dstack([of_bits(16)] * 3))
    assert np.abs(read(tmp_path, content.tobytes()).astype(np.float32)[..., 0] - EIGHT).max() <= 1
