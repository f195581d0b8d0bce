"""A decoded picture, and the checks that every format makes before and while it decodes one."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from config.failures import ImageUnusableError, Reason
from config.films import Film

MOST_PARTS: Final = 1 << 18
"""The most chunks or segments of a file: Pillow takes microseconds for each, however empty it is."""


Values = NDArray[np.uint8 | np.float32]
"""Pixels of a picture, of any of its types."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded radiograph: grey (height, width) or RGB (height, width, 3), values 0-255.

    8-bit pictures are uint8. 16-bit grey is float32, scaled so that 65,535 is 255; DICOM's grey is as its
    display pipeline shows it, uint8 where that gives whole numbers.
    """

    values: Values

    deep: bool = False
    """Whether it has 16 bits per sample, and nothing in the file says how many of them are used."""

    film: Film | None = None
    """What a DICOM file says of it; None for other files."""

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.values.shape[0])

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self.values.shape[1])


_GREY_AXES: Final = 2


def is_grey(values: Values) -> bool:
    """Return whether values are (height, width) and not (height, width, 3)."""
    return values.ndim == _GREY_AXES


def as_bytes(values: Values) -> NDArray[np.uint8]:
    """Return a picture's values as whole numbers, to be looked at; halves are rounded to even ones."""
    # In one pass, with no second picture in floats.
    return np.asarray(values if values.dtype == np.uint8 else cv2.convertScaleAbs(values), dtype=np.uint8)


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise ImageUnusableError for a picture of more than `max_pixels`, going by its header."""
    if width * height > max_pixels:
        raise ImageUnusableError(Reason.TOO_LARGE, f"{width} x {height} pixels; the limit is {max_pixels:,}")


def ends_early(content: bytes) -> ImageUnusableError:
    """Make the error of a file that stops before its picture does."""
    message = f"the file ends after {len(content):,} bytes, before its picture does"
    return ImageUnusableError(Reason.TRUNCATED, message)
