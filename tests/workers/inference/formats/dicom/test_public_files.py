"""The test files of pydicom and pydicom-data, every one: scored, or failed with the right reason."""

from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from config.failures import ImageUnusableError
from workers.inference.formats.decode import decode
from workers.inference.formats.dicom.codecs import decode_frames
from workers.inference.formats.dicom.frame import number_of_frames, read_frame
from workers.inference.formats.dicom.greyscale import stored_values
from workers.inference.formats.dicom.header import read_header

LIMIT = 2**24

OUTCOMES = {
    "scored": 111,
    "wrong_format: is a DICOM object without a picture": 69,
    "wrong_format: is a DICOM file of several frames": 26,
    "wrong_format: is none of PNG": 13,
    "wrong_format: is a DICOM file of photometric interpretation PALETTE COLOR": 6,
    "wrong_format: is a DICOM file of 32 bits per sample": 6,
    "wrong_format: is a DICOM file in colour of more than 8 bits": 3,
    "wrong_format: is a DICOM file of 1 bits per sample": 2,
    "wrong_format: is a DICOM file of photometric interpretation YBR_FULL": 1,
    "wrong_format: is a DICOM file of photometric interpretation YBR_FULL_422": 1,
    "wrong_format: is a gzip file; unpack it": 1,
}
"""How the files end whose reason is no damage."""

BROKEN = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "damaged",  # its codestream has the size of a delimiter
    "MR_truncated.dcm": "truncated",
    "SC_rgb_jpeg.dcm": "damaged",  # raw pixels that are called JPEG
    "badVR.dcm": "damaged",
    "rtplan_truncated.dcm": "truncated",
}

SAME = {
    "693_J2KR.dcm": "693_UNCR.dcm",
    "693_J2KI.dcm": "693_UNCI.dcm",
    "MR2_J2KR.dcm": "MR2_UNCR.dcm",
    "MR_small_RLE.dcm": "MR_small.dcm",
    "MR_small_bigendian.dcm": "MR_small.dcm",
    "MR_small_jp2klossless.dcm": "MR_small.dcm",
    "MR_small_jpeg_ls_lossless.dcm": "MR_small.dcm",
    "RG1_J2KR.dcm": "RG1_UNCR.dcm",
    "RG3_J2KR.dcm": "RG3_UNCR.dcm",
    "SC_rgb_gdcm_KY.dcm": "SC_rgb.dcm",
    "SC_rgb_jpeg_gdcm.dcm": "SC_rgb.dcm",
    "SC_rgb_rle.dcm": "SC_rgb.dcm",
    "US1_J2KR.dcm": "US1_UNCR.dcm",
}
"""Compressed files, and the same pictures as others have decompressed them."""


def folders() -> Iterator[Path]:
    for package, below in (("pydicom", "data/test_files"), ("data_store", "data")):
        found = find_spec(package)
        if found is None or not found.submodule_search_locations:
            pytest.skip("pydicom-data is not installed: it is in the extra dev")
        yield Path(found.submodule_search_locations[0]) / below


def files() -> list[Path]:
    return sorted(path for folder in folders() for path in folder.rglob("*") if path.is_file())


def outcome(path: Path) -> str:
    try:
        decode(path.read_bytes(), LIMIT)
    except ImageUnusableError as error:
        return f"{error.reason}: {error.message.split(',', maxsplit=1)[0]}"
    return "scored"


def test_every_file_is_scored_or_fails_with_the_right_reason() -> None:
    outcomes = [(path.name, outcome(path)) for path in files()]
    assert {name: found.partition(":")[0] for name, found in outcomes if name in BROKEN} == BROKEN
    assert Counter(found for name, found in outcomes if name not in BROKEN) == OUTCOMES


@pytest.mark.parametrize("name", SAME)
def test_a_compressed_file_has_the_pixels_of_the_one_that_others_decompressed(name: str) -> None:
    by_name = {path.name: path for path in files()}
    one, other = (decode(by_name[each].read_bytes(), LIMIT).values for each in (name, SAME[name]))
    assert np.array_equal(one, other)
    assert one.max() > one.min()


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_stored_values_are_those_that_pydicom_reads() -> None:
    compared = 0
    for path in files():
        ours = stored(path)
        if ours is not None:
            theirs = pixels_of_pydicom(path)
            if theirs is not None:
                assert np.array_equal(ours, theirs), path.name
                compared += 1
    assert compared >= 70


def stored(path: Path) -> NDArray[np.int64] | None:
    """The stored values of a grey file, None where it is not read."""
    try:
        header = read_header(path.read_bytes(), LIMIT)
        frame = read_frame(header.dataset, LIMIT)
        count = number_of_frames(header.dataset)
        words = np.squeeze(np.stack([*decode_frames(header, frame, count, LIMIT)]))
    except Exception:  # noqa: BLE001  # what a file's damage raises is the matter of another test
        return None
    if not frame.grey:
        return None
    patterns = (words >> (frame.high + 1 - frame.stored)) & (2**frame.stored - 1)
    return np.asarray(np.take(stored_values(frame.stored, signed=frame.signed), patterns))


def pixels_of_pydicom(path: Path) -> NDArray[Any] | None:
    """What pydicom reads with Pillow as its only plugin, None where it cannot."""
    try:
        return dcmread(path).pixel_array
    except Exception:  # noqa: BLE001  # it has no plugin for some
        return None
