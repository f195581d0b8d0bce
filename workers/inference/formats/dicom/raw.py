"""Frames that are not compressed."""

from typing import Final

import numpy as np

from workers.inference.formats.dicom.frame import BYTE, Frame, Words, cut_frame

COLOURS: Final = ("RGB",)


def decode(stored: bytes, frame: Frame, _max_pixels: int) -> Words:
    """Return a frame's words, of which the first byte is the lowest."""
    return words_of(stored, frame, "<u2")


def words_of(stored: bytes, frame: Frame, word: str) -> Words:
    """Return a frame's words, those of 16 bits being of a NumPy type."""
    kind = np.dtype("u1" if frame.allocated == BYTE else word)
    count = frame.rows * frame.columns * frame.samples
    if len(stored) < count * kind.itemsize:
        raise cut_frame()
    words = np.frombuffer(stored, kind, count)
    if not frame.grey and frame.by_plane:
        return np.moveaxis(words.reshape(frame.samples, frame.rows, frame.columns), 0, -1)
    return words.reshape(frame.shape)
