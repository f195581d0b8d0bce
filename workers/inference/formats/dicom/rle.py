"""RLE Lossless (PS3.5 annex G): a segment of PackBits for each byte of a word, the highest first."""

import struct
from typing import Final

import imagecodecs
import numpy as np

from workers.inference.formats.dicom.frame import BYTE, Frame, Words, cut_frame, damaged

COLOURS: Final = ("RGB",)
_HEADER: Final = struct.Struct("<16I")


def decode(stored: bytes, frame: Frame, _max_pixels: int) -> Words:
    """Return a frame's words; a segment must have exactly the frame's pixels."""
    if len(stored) < _HEADER.size:
        raise cut_frame()
    count, *offsets = _HEADER.unpack_from(stored)
    of_sample = frame.allocated // BYTE
    if count != frame.samples * of_sample:
        raise damaged("it has not a segment for each byte of its pixels")
    ends = [*offsets[1:count], len(stored)]
    words = np.empty((frame.samples, of_sample, frame.rows * frame.columns), dtype=np.uint8)
    for number, (start, end) in enumerate(zip(offsets[:count], ends, strict=True)):
        if not _HEADER.size <= start <= end:
            raise damaged("its segments are not one behind the other")
        unpacked = _unpacked(stored[start:end], words.shape[-1])
        words[number // of_sample, of_sample - 1 - number % of_sample] = np.frombuffer(unpacked, np.uint8)
    # Lowest byte first, as a word of this machine's little endian order.
    planes = np.ascontiguousarray(words.swapaxes(1, 2)).view("u1" if of_sample == 1 else "<u2")
    return np.moveaxis(planes.reshape(frame.samples, frame.rows, frame.columns), 0, -1).reshape(frame.shape)


def _unpacked(segment: bytes, wanted: int) -> bytes | bytearray:
    if not segment:
        raise cut_frame()
    unpacked = imagecodecs.packbits_decode(segment, out=wanted)
    if len(unpacked) < wanted:
        raise cut_frame()
    return unpacked
