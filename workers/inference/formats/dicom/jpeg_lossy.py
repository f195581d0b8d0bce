"""JPEG Baseline and Extended: 8 bits as a JPEG file has them, or 12."""

from typing import Final

import numpy as np

from workers.inference.formats import jpeg
from workers.inference.formats.dicom.frame import Frame, Words, require_same_size
from workers.inference.formats.dicom.jpeg_deep import decode_deep, read_precision

COLOURS: Final = ("RGB", "YBR_FULL", "YBR_FULL_422")
"""A JPEG's decoder makes RGB of each."""

_EXTENDED: Final = 0xC1


def decode(stored: bytes, frame: Frame, max_pixels: int) -> Words:
    """Return a frame's words, by the checks that a JPEG file has."""
    if read_precision(stored) > jpeg.BASELINE_BITS:
        return decode_deep(stored, frame, _EXTENDED)
    values = jpeg.decode(stored, max_pixels).values
    rows, columns, *samples = values.shape
    require_same_size(frame, rows, columns, samples[0] if samples else 1)
    return values.astype(np.uint8, copy=False)
