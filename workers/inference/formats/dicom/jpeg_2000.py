"""JPEG 2000 and HTJ2K; their decoder, OpenJPEG, sees every cut of a codestream."""

import struct
from typing import Final

import imagecodecs
import numpy as np

from workers.inference.formats.dicom.frame import (
    WORD,
    Frame,
    Words,
    cut_frame,
    damaged,
    require_same_size,
    unread,
)

COLOURS: Final = ("RGB", "YBR_RCT", "YBR_ICT")
"""The colour transforms are the codestream's own, and undone with it."""

_START: Final = b"\xff\x4f\xff\x51"
_END: Final = b"\xff\xd9"
_SIZES: Final = struct.Struct(">HH8IH")
_SIGN: Final = 0x80


def decode(stored: bytes, frame: Frame, _max_pixels: int) -> Words:
    """Return a frame's words; raises ImageUnusableError for one that is cut or of another size."""
    start = stored.find(_START)  # some writers put the boxes of a file in front
    if start < 0 or len(stored) < start + 4 + _SIZES.size + 3 * frame.samples:
        raise damaged("its compressed picture is no JPEG 2000")
    _, _, right, bottom, left, top, *_, samples = _SIZES.unpack_from(stored, start + 4)
    require_same_size(frame, bottom - top, right - left, samples)
    depths = stored[start + 4 + _SIZES.size :: 3][:samples]
    if max(depth & ~_SIGN for depth in depths) >= WORD:
        raise unread("a DICOM file with a JPEG 2000 of more than 16 bits")
    try:
        values = imagecodecs.jpeg2k_decode(stored[start:])
    except imagecodecs.Jpeg2kError:
        if _END in stored[-4:]:
            raise
        raise cut_frame() from None
    return _as_stored(values, depths[0], frame)


def _as_stored(values: Words, depth: int, frame: Frame) -> Words:
    """Return two's complement as the header's Bits Stored have it; a codestream may have fewer bits."""
    if not (frame.signed or depth & _SIGN):
        return values
    bits = 8 * values.dtype.itemsize
    signed = values.view(f"i{values.dtype.itemsize}")
    if not depth & _SIGN:
        unused = bits - 1 - depth
        signed = signed << unused >> unused
    return signed.astype(np.int16).view(np.uint16)
