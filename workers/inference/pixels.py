"""From a decoded picture to the network's input, prepared as the model card says."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from config.cards import Pixels
from workers.inference.pictures import Picture

_RESIZE: Final = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR}


def prepare(picture: Picture, pixels: Pixels) -> NDArray[np.float32]:
    """Resize and scale a picture: (size, size, channels) float32, (value * factor - mean) / std."""
    values: NDArray[Any] = picture.values
    if values.ndim == 3 and pixels.channels == 1:  # noqa: PLR2004  # height, width, colour
        # Pillow's conversion gives greys back as they are: a colour picture of greys is the grey picture.
        values = np.asarray(Image.fromarray(values).convert("L"))
    resized = _resize(values, pixels)
    scale = np.float32(pixels.factor) / np.asarray(pixels.std, dtype=np.float32)
    shift = np.asarray(pixels.mean, dtype=np.float32) / np.asarray(pixels.std, dtype=np.float32)
    prepared = np.empty((pixels.size, pixels.size, pixels.channels), dtype=np.float32)
    for channel in range(pixels.channels):
        # Plane by plane: NumPy's loop over an innermost axis of three takes three times as long.
        plane = resized if resized.ndim == 2 else resized[..., channel]  # noqa: PLR2004  # grey goes to all
        np.subtract(plane * scale[channel], shift[channel], out=prepared[..., channel])
    return prepared


def _resize(values: NDArray[Any], pixels: Pixels) -> NDArray[np.float32]:
    size = (pixels.size, pixels.size)
    if values.shape[:2] != size:
        # Grey is resized once, not three times; float32 goes through Pillow's mode F.
        values = np.asarray(Image.fromarray(values).resize(size, _RESIZE[pixels.resize]))
    return values.astype(np.float32, copy=False)


def test_pattern(size: int) -> Picture:
    """Give the picture that golden scores are about: (size, size) uint8, integer arithmetic only.

    Bands and rings of many widths, so that every filter of a network has something to answer to.
    """
    y, x = np.mgrid[0:size, 0:size].astype(np.int64)
    rings = ((x - size // 2) ** 2 + (y - size // 3) ** 2) * 255 // (size * size)
    bands = (x * 5 + y * 2) % 256
    checks = ((x // 7) ^ (y // 11)) * 16 % 256
    return Picture(((2 * rings + bands + checks) // 4 % 256).astype(np.uint8))
