"""Pictures that decode and are no radiographs all the same: a network would score them like any other."""

from typing import Final

import numpy as np

from config.cards.classification import Preprocessing
from config.failures import ImageUnusableError, Reason
from workers.inference.formats.picture import Picture, is_grey

_SAMPLE: Final = 256
"""Rows and columns that the contrast is measured on, evenly spread."""


def require_plausible(picture: Picture, pixels: Preprocessing) -> None:
    """Raise ImageUnusableError for a picture that is smaller or flatter than the card allows.

    The contrast is the span from the 1st to the 99th percentile, so that a letter burnt into a black picture
    does not count.
    """
    if min(picture.width, picture.height) < pixels.least_side:
        message = f"{picture.width} x {picture.height} pixels; a side needs {pixels.least_side} or more"
        raise ImageUnusableError(Reason.TOO_SMALL, message)
    down, across = max(1, picture.height // _SAMPLE), max(1, picture.width // _SAMPLE)
    sample = picture.values[::down, ::across].astype(np.float32)
    grey = sample if is_grey(sample) else sample.mean(axis=-1)
    darkest, brightest = np.percentile(grey, (1, 99))
    if brightest - darkest < pixels.least_contrast:
        message = (
            f"nearly all of it is of one grey: {darkest:.0f} to {brightest:.0f} of 0 (black) to 255 (white)"
        )
        raise ImageUnusableError(Reason.NO_CONTRAST, message)
