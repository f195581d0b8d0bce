"""JPEG of more than 8 bits or without loss, decoded by libjpeg-turbo and checked here to be whole."""

from typing import Final

import imagecodecs
import numpy as np

from workers.inference.formats import jpeg
from workers.inference.formats.dicom.frame import Frame, Words, cut_frame, damaged, require_same_size, unread

_START: Final = b"\xff\xd8"
_END: Final = b"\xff\xd9"
_LEAST_HEADER: Final = 13
"""Bytes of a frame header of one component, its marker included."""

_MORE: Final = b"\x55" * 256
"""Bits that any table of codes takes for some pixels, where a scan needs more than it has."""


def read_precision(stored: bytes) -> int:
    """Return the bits per sample of a JPEG; ImageUnusableError where it has no frame header."""
    return _frame_header(_checked(stored))[4]


def decode_deep(stored: bytes, frame: Frame, kind: int) -> Words:
    """Return the words of a JPEG whose frame is of a `kind`, by its marker.

    Where a scan's data end early libjpeg-turbo says nothing, and fills up with the middle of the range. A
    picture that ends in that is decoded a second time, with more data behind the scan: if it differs, the
    pixels before were made up too.
    """
    segments = _checked(stored)
    header = _frame_header(segments)
    if header[1] != kind:
        raise unread(f"a DICOM file with a JPEG of process SOF{header[1] & 15}")
    rows, columns = int.from_bytes(header[5:7]), int.from_bytes(header[7:9])
    require_same_size(frame, rows, columns, header[9])
    kept = b"".join([_START, *segments])
    colour = None if frame.grey else "RGB"
    words = _decoded(kept + _END, colour)
    middle = 1 << (header[4] - 1)
    if (words[-1, -1] == middle).any() and not np.array_equal(words, _decoded(kept + _MORE + _END, colour)):
        raise cut_frame()
    return words


def _decoded(content: bytes, colour: str | None) -> Words:
    words: Words = imagecodecs.jpeg8_decode(content, colorspace=colour, outcolorspace=colour)
    return words


def _checked(stored: bytes) -> list[bytes]:
    """Return a JPEG's segments up to its end, without those that no pixel depends on."""
    if not stored.startswith(_START):
        raise damaged("its compressed picture is no JPEG")
    return [segment for marker, segment in jpeg.segments(stored) if marker not in jpeg.REMARKS]


def _frame_header(segments: list[bytes]) -> bytes:
    """Return the one frame header, which has a precision, a size and a number of components."""
    headers = [segment for segment in segments if segment[1] in jpeg.FRAMES]
    if len(headers) != 1 or len(headers[0]) < _LEAST_HEADER:
        raise damaged("its JPEG has not the one frame header that it must have")
    return headers[0]
