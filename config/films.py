"""What a DICOM film says of its picture beside the pixels; the views `films` and `heatmaps` hold it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Recipe = Literal["window", "minmax", "maxbit", "equalized"]
"""The ways from stored values to greys that a model card may name; docs/dicom.md says what each does."""


class Greyscale(StrEnum):
    """What made greys of a film's values."""

    VOI_LUT = "voi_lut"
    """Its first VOI look-up table."""
    WINDOW = "window"
    """Its first window."""
    AS_STORED = "as_stored"
    """Nothing: it has neither, and 8 bits, which were made for a screen."""
    NO_WINDOW = "no_window"
    """It has neither: its own smallest and largest value are black and white."""
    BAD_WINDOW = "bad_window"
    """Its window cannot be used, as its width is 0 or missing; the same range instead, or as stored."""
    MINMAX = "minmax"
    """The picture's own smallest and largest value, as the card wants it."""
    MAXBIT = "maxbit"
    """The largest value that its bits can hold, as the card wants it."""
    EQUALIZED = "equalized"
    """The picture's own range, then the equalisation of its histogram, as the card wants it."""


@dataclass(frozen=True, slots=True)
class Spacing:
    """Millimetres from a pixel's middle to the next: down a column, and along a row; `source` says it."""

    down: float
    across: float
    source: str
    """The element's keyword: PixelSpacing or ImagerPixelSpacing, which is that of the detector."""


@dataclass(frozen=True, slots=True)
class Film:
    """A DICOM film's picture: `padded` where some pixels are padding, `spacing` where it is known."""

    greyscale: Greyscale | None
    padded: bool
    spacing: Spacing | None
