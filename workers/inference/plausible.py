"""Pictures that decode and are no radiographs all the same: a network would score them like any other."""

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from config.cards.classification import Preprocessing
from config.failures import ImageUnusableError, Reason
from workers.inference.formats.picture import Picture, is_grey

_SAMPLE: Final = 256
"""Rows and columns that the contrast is measured on, evenly spread."""

_PERCENTILES: Final = (1, 99)


class Extent(NamedTuple):
    """How large a picture is, in pixels, and from which grey to which it goes, of 0 to 255.

    The greys are the 1st and the 99th percentile, so that a letter burnt into a black picture does not count.
    """

    width: int
    height: int
    darkest: float
    brightest: float


def extent_of(picture: Picture) -> Extent:
    """Measure a picture; its greys on a sample of its pixels."""
    down, across = max(1, picture.height // _SAMPLE), max(1, picture.width // _SAMPLE)
    sample = picture.values[::down, ::across]
    if is_grey(sample) and sample.dtype == np.uint8:
        darkest, brightest = _percentiles(np.ascontiguousarray(sample))
    else:
        grey = sample if is_grey(sample) else sample.astype(np.float32).mean(axis=-1)
        darkest, brightest = np.percentile(grey, _PERCENTILES).tolist()
    return Extent(picture.width, picture.height, darkest, brightest)


def _percentiles(greys: NDArray[np.uint8]) -> list[float]:
    """Return what `np.percentile` does, by counting: it sorts, which takes ten times as long."""
    below = np.cumsum(cv2.calcHist([greys], [0], None, [256], [0, 256]).ravel())
    places = np.asarray(_PERCENTILES) / 100 * (greys.size - 1)
    lower, upper = (np.searchsorted(below, at, side="right") for at in (np.floor(places), np.ceil(places)))
    found: list[float] = (lower + (upper - lower) * (places % 1)).tolist()
    return found


def require_plausible(extent: Extent, pixels: Preprocessing) -> None:
    """Raise ImageUnusableError for a picture that is smaller or flatter than the card allows."""
    if min(extent.width, extent.height) < pixels.least_side:
        message = f"{extent.width} x {extent.height} pixels; a side needs {pixels.least_side} or more"
        raise ImageUnusableError(Reason.TOO_SMALL, message)
    if extent.brightest - extent.darkest < pixels.least_contrast:
        message = (
            f"nearly all of it is of one grey: {extent.darkest:.0f} to {extent.brightest:.0f} of 0 (black) "
            "to 255 (white)"
        )
        raise ImageUnusableError(Reason.NO_CONTRAST, message)
