"""The pictures of the pages: a bare radiograph, and a map to lay over it, as PNG."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from config.cards.card import CardFields
from config.cards.classification import ClassificationCard
from config.cards.model import make_card
from config.errors import ConfigError
from db.database import Record
from workers.inference.formats.picture import is_grey
from workers.inference.region import Region, visible_region
from workers.outputs.overlays import spread

_LONGEST_SIDE: Final = 1_600
"""Pixels of a radiograph; a screen shows no more of it."""
_MAP_SIDE: Final = 512
_FAST: Final = [cv2.IMWRITE_PNG_COMPRESSION, 1]


def radiograph(pixels: NDArray[np.uint8]) -> bytes:
    """Encode a radiograph, grey (height, width) or RGB (height, width, 3), made smaller where it is large."""
    height, width = pixels.shape[:2]
    scale = min(1.0, _LONGEST_SIDE / max(height, width))
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return _png(pixels if is_grey(pixels) else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


def heatmap(stored: Record, place: int, region: Region) -> bytes:
    """Encode the map of the finding at `place` in OpenCV's `inferno`, of the picture's proportions.

    `stored`: as `db.browsing.maps_of` returns it. What the network did not look at is transparent; at half
    its strength it lies on a radiograph as an overlay of `nightread heatmap` does.
    """
    maps = np.frombuffer(stored["maps"], dtype="<f2").reshape(stored["map_height"], stored["map_width"], -1)
    scale = _MAP_SIDE / max(stored["width"], stored["height"])
    size = (max(1, round(stored["width"] * scale)), max(1, round(stored["height"] * scale)))
    level = (spread(maps[:, :, place].astype(np.float32), size, region, scale) * 255).astype(np.uint8)
    coloured = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2BGRA)
    coloured[:, :, 3] = np.minimum(255, 2 * level.astype(np.uint16))
    return _png(coloured)


def colour_bar() -> bytes:
    """Encode the colours of a map, from 0 at the left to its maximum."""
    return _png(
        cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None].repeat(12, axis=0), cv2.COLORMAP_INFERNO)
    )


def region_of(fields: CardFields, width: int, height: int) -> Region:
    """Return what a run's network saw of a picture; all of it where its card does not say."""
    try:
        card = make_card(fields)
    except ConfigError:
        card = None
    if isinstance(card, ClassificationCard):
        return visible_region(card.pixels, width, height)
    return Region(0, 0, width, height)


def _png(pixels: NDArray[np.uint8] | cv2.typing.MatLike) -> bytes:
    _, encoded = cv2.imencode(".png", pixels, _FAST)
    return encoded.tobytes()
