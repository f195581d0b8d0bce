"""Where on the image a map points: its peak and a box around it."""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

BOX_LEVEL: Final = 0.5
"""The box encloses the part of the map around its peak that is at least so high."""


@dataclass(frozen=True, slots=True)
class Focus:
    """Where a map points to, in pixels of the original image."""

    peak: tuple[int, int]
    box: tuple[int, int, int, int]  # x, y, width, height


def locate(map_: NDArray[np.float32], width: int, height: int) -> Focus | None:
    """Find the peak of one map (h, w) and the box around it on an image of `width` x `height` pixels.

    None for a map without a positive value.
    """
    rows, columns = map_.shape
    top = int(map_.argmax())
    peak_row, peak_column = divmod(top, columns)
    if map_[peak_row, peak_column] <= 0:
        return None
    _, labels, stats, _ = cv2.connectedComponentsWithStats((map_ >= BOX_LEVEL).astype(np.uint8))
    left, upper, box_columns, box_rows = (int(v) for v in stats[labels[peak_row, peak_column], :4])
    # Outwards, so that the box holds its peak also where a pixel is larger than a place of the map.
    x, y = math.floor(left * width / columns), math.floor(upper * height / rows)
    return Focus(
        peak=(int((peak_column + 0.5) * width / columns), int((peak_row + 0.5) * height / rows)),
        box=(
            x,
            y,
            math.ceil((left + box_columns) * width / columns) - x,
            math.ceil((upper + box_rows) * height / rows) - y,
        ),
    )
