"""Where on the image a map points: its peak and a box around it."""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.inference.region import Region

BOX_LEVEL: Final = 0.5
"""The box encloses the part of the map around its peak that is at least this high."""


@dataclass(frozen=True, slots=True)
class Peak:
    """Where a map points to, in pixels of the original image."""

    point: tuple[int, int]
    box: tuple[int, int, int, int]  # x, y, width, height


def locate(map_: NDArray[np.float32], region: Region) -> Peak | None:
    """Find the peak of one map (h, w) and the box around it on the part of an image that the map covers.

    The peak is found between the map's places, by a parabola through the highest one and its neighbours.

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
    x, y = math.floor(left * region.width / columns), math.floor(upper * region.height / rows)
    at_column = peak_column + _vertex(map_[peak_row], peak_column)
    at_row = peak_row + _vertex(map_[:, peak_column], peak_row)
    return Peak(
        point=(
            region.left + int((at_column + 0.5) * region.width / columns),
            region.top + int((at_row + 0.5) * region.height / rows),
        ),
        box=(
            region.left + x,
            region.top + y,
            math.ceil((left + box_columns) * region.width / columns) - x,
            math.ceil((upper + box_rows) * region.height / rows) - y,
        ),
    )


def _vertex(line: NDArray[np.float32], top: int) -> float:
    """Return how far from its highest place a line's peak lies, -0.5 to 0.5 places.

    The vertex of the parabola through the highest place and its neighbours: a place of a 10 x 10 map is 102
    pixels of a radiograph, wider than a nodule.
    """
    if not 0 < top < len(line) - 1:
        return 0.0
    before, at, after = (float(value) for value in line[top - 1 : top + 2])
    bend = before - 2 * at + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0
