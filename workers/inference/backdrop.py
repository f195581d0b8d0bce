"""What a map is laid over: a picture in whole greys, as small as it is to be looked at."""

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.inference.formats.picture import Picture, as_bytes

STORED_SIDE: Final = 512
"""The longer side, pixels, of the overlays that a run writes; `nightread heatmap` gives the full size."""


class Backdrop(NamedTuple):
    """Greys (height, width) or RGB (height, width, 3), uint8, and `scale`: their side of the picture's."""

    values: NDArray[np.uint8]
    scale: float


def backdrop_of(picture: Picture, longest_side: int | None = None) -> Backdrop:
    """Make a picture's backdrop, with a longer side of at most so many pixels; None: in full size."""
    scale = 1.0 if longest_side is None else min(1.0, longest_side / max(picture.width, picture.height))
    values = as_bytes(picture.values)
    if scale < 1.0:
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        values = np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return Backdrop(values, scale)
