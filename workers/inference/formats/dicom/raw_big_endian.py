"""Frames that are not compressed, of a retired transfer syntax: the first byte of a word is the highest."""

from typing import Final

from workers.inference.formats.dicom import raw
from workers.inference.formats.dicom.frame import Frame, Words

COLOURS: Final = raw.COLOURS


def decode(stored: bytes, frame: Frame, _max_pixels: int) -> Words:
    """Return a frame's words."""
    return raw.words_of(stored, frame, ">u2")
