"""From a DICOM file's bytes to a picture: header, frame, then for grey the recipe of the model card."""

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from config.dicom import SPACINGS
from config.films import Film, Recipe, Spacing
from workers.inference.formats.dicom.codecs import decode_frames
from workers.inference.formats.dicom.frame import (
    Frame,
    Words,
    damage_told,
    number_of_frames,
    read_frame,
    unread,
)
from workers.inference.formats.dicom.greyscale import display_table, stored_values
from workers.inference.formats.dicom.header import read_header
from workers.inference.formats.picture import Picture

T = TypeVar("T", bound=np.generic)

_STRIP: Final = 16
"""Rows."""


def decode(content: bytes, max_pixels: int, recipe: Recipe) -> Picture:
    """Decode one frame as a recipe shows it; raises ImageUnusableError with the reason."""
    with damage_told():
        return _decode(content, max_pixels, recipe)


def _decode(content: bytes, max_pixels: int, recipe: Recipe) -> Picture:
    header = read_header(content, max_pixels)
    if number_of_frames(header.dataset) > 1:
        raise unread("a DICOM file of several frames")
    frame = read_frame(header.dataset, max_pixels)
    (words,) = decode_frames(header, frame, 1, max_pixels)
    if frame.grey:
        return _shown(header.dataset, frame, words, recipe)
    film = Film(None, padded=False, spacing=_spacing(header.dataset))
    return Picture(words.astype(np.uint8, copy=False), film=film)


def _shown(dataset: Dataset, frame: Frame, words: Words, recipe: Recipe) -> Picture:
    """Make greys of a frame's values; padding is black, and counts for nothing."""
    stored = stored_values(frame.stored, signed=frame.signed)
    patterns = frame.patterns(words)
    padding = _padding(dataset, stored)

    def count() -> NDArray[np.int64]:
        of_words = np.bincount(words.ravel(), minlength=patterns.size)
        return np.bincount(patterns, of_words, minlength=stored.size).astype(np.int64) * ~padding

    table, greyscale = display_table(dataset, stored, count, recipe)
    table[padding] = 0
    padded = bool(padding.any() and _looked_up(padding[patterns], words).any())
    film = Film(greyscale, padded, _spacing(dataset))
    # Where nothing lies between two greys, the picture is that of an 8-bit PNG, and is resized as that is.
    if np.array_equal(table, table.round()):
        return Picture(_looked_up(table.astype(np.uint8)[patterns], words), film=film)
    return Picture(_looked_up(table.astype(np.float32)[patterns], words), film=film)


def _looked_up(table: NDArray[T], words: Words) -> NDArray[T]:
    """Return the table's entry for each word, of which it has all that there can be.

    In strips: NumPy makes an index of 8 bytes of each word, for which a whole film has no room in the cache.
    """
    found = np.empty(words.shape, dtype=table.dtype)
    for top in range(0, len(words), _STRIP):
        strip = slice(top, top + _STRIP)
        np.take(table, words[strip], out=found[strip], mode="clip")  # which spares it a check
    return found


def _padding(dataset: Dataset, stored: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which patterns are padding (PS3.3 C.7.5.1.1.2): one value, or all between two."""
    if "PixelPaddingValue" not in dataset:
        return np.zeros(stored.size, dtype=bool)
    first = int(dataset.PixelPaddingValue)
    last = int(dataset.get("PixelPaddingRangeLimit", first))
    return (stored >= min(first, last)) & (stored <= max(first, last))


def _spacing(dataset: Dataset) -> Spacing | None:
    """Return the distance of pixels, in the patient before that on the detector; None where it is unknown."""
    for source in SPACINGS:
        try:
            down, across = (float(distance) for distance in dataset.get(source) or ())
        except (TypeError, ValueError):  # de-identified files have texts and single numbers here
            continue
        if min(down, across) > 0 and np.isfinite([down, across]).all():
            return Spacing(down, across, source)
    return None
