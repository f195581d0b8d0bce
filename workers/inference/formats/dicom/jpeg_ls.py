"""JPEG-LS, lossless and near-lossless; its decoder, CharLS, sees nearly any damage."""

import re
from typing import Final

import imagecodecs

from workers.inference.formats import jpeg
from workers.inference.formats.dicom.frame import Frame, Words, damaged, require_same_size

COLOURS: Final = ("RGB",)
_START: Final = b"\xff\xd8"
_FRAME: Final = 0xF7
_SCAN_END: Final = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
"""In a scan of JPEG-LS a byte below 80 follows FF, not 00 (ITU-T T.87, 9.1)."""


def decode(stored: bytes, frame: Frame, _max_pixels: int) -> Words:
    """Return a frame's words; raises ImageUnusableError for one that is cut or of another size."""
    if not stored.startswith(_START):
        raise damaged("its compressed picture is no JPEG-LS")
    # Without an end's marker CharLS searches for half a minute before it says so.
    headers = [segment for marker, segment in jpeg.segments(stored, _SCAN_END) if marker == _FRAME]
    if len(headers) != 1:
        raise damaged("its JPEG-LS has not the one frame header that it must have")
    rows, columns = int.from_bytes(headers[0][5:7]), int.from_bytes(headers[0][7:9])
    require_same_size(frame, rows, columns, headers[0][9])
    words: Words = imagecodecs.jpegls_decode(stored)
    return words
