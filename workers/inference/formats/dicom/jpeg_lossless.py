"""JPEG Lossless (processes 14 and 14 SV1), which is how most radiographs are stored."""

from typing import Final

from workers.inference.formats.dicom.frame import Frame, Words
from workers.inference.formats.dicom.jpeg_deep import decode_deep

COLOURS: Final = ("RGB",)
_LOSSLESS: Final = 0xC3


def decode(stored: bytes, frame: Frame, _max_pixels: int) -> Words:
    """Return a frame's words; raises ImageUnusableError for one that is cut or of another size."""
    return decode_deep(stored, frame, _LOSSLESS)
