"""From a decoded picture to the network's input, prepared as the model card says."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import csr_array

from config.cards.classification import Preprocessing
from workers.inference.formats.picture import Picture, Values, is_grey
from workers.inference.region import visible_region

_PILLOW: Final = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR}

_OUTSIDE: Final = np.float32(127.5)
"""What XRayResizer sees beyond the border: it resizes values from -1024 to 1024 and puts 0 there."""

_GAUSSIAN_REACH: Final = 4.0  # standard deviations, as scipy.ndimage.gaussian_filter cuts its kernel


def prepare(picture: Picture, pixels: Preprocessing) -> NDArray[np.float32]:
    """Crop, resize and scale a picture: (size, size, channels) float32, (value * factor - mean) / std."""
    values: Values = picture.values
    seen = visible_region(pixels, picture.width, picture.height)
    values = values[seen.top : seen.top + seen.height, seen.left : seen.left + seen.width]
    if not is_grey(values) and pixels.channels == 1:
        # Pillow's conversion keeps greys as they are: a colour picture of greys becomes the grey picture.
        values = np.asarray(Image.fromarray(values).convert("L"))
    resized = _resize(values, pixels)
    scale = np.float32(pixels.factor) / np.asarray(pixels.std, dtype=np.float32)
    shift = np.asarray(pixels.mean, dtype=np.float32) / np.asarray(pixels.std, dtype=np.float32)
    prepared = np.empty((pixels.size, pixels.size, pixels.channels), dtype=np.float32)
    for channel in range(pixels.channels):
        # Plane by plane: NumPy's loop over an innermost axis of three takes three times as long.
        plane = resized if is_grey(resized) else resized[..., channel]
        np.subtract(plane * scale[channel], shift[channel], out=prepared[..., channel])
    return prepared


def _resize(values: Values, pixels: Preprocessing) -> NDArray[np.float32]:
    size = (pixels.size, pixels.size)
    if values.shape[:2] != size:
        if pixels.resize in _PILLOW:
            # Grey is resized once, not three times; float32 goes through Pillow's mode F.
            values = np.asarray(Image.fromarray(values).resize(size, _PILLOW[pixels.resize]))
        elif is_grey(values):
            values = _resize_as_skimage(values, pixels)
        else:
            values = np.dstack([_resize_as_skimage(plane, pixels) for plane in np.moveaxis(values, -1, 0)])
    return values.astype(np.float32, copy=False)


def _resize_as_skimage(plane: Values, pixels: Preprocessing) -> NDArray[np.float32]:
    """Resize (height, width) to (size, size): a product with one sparse matrix per axis.

    Both of scikit-image's methods are linear in the values and separable, and an output needs few of the
    pixels: filtering the whole picture first, as scikit-image does, takes ten times as long.
    """
    height, width = plane.shape
    antialiased = pixels.resize == "gaussian"
    outside = _OUTSIDE if antialiased else np.float32(0)
    values = np.subtract(plane, outside, dtype=np.float32)
    rows = _weights(height, pixels.size, antialiased=antialiased)
    columns = _weights(width, pixels.size, antialiased=antialiased)
    resized: NDArray[np.float32]
    # In this order the result of the first product is never larger than both picture and result.
    resized = (columns @ (rows @ values).T).T if height >= pixels.size else rows @ (columns @ values.T).T
    if antialiased and (resized.min() > 0 or resized.max() < 0):
        # scikit-image keeps the mid-grey outside from darkening the border of a very bright picture.
        resized = resized.clip(values.min(), values.max())
    return resized + outside


def _weights(length: int, size: int, *, antialiased: bool) -> csr_array:
    """Return the weights of an axis' pixels in each of its outputs: sparse, (size, length) float32.

    Antialiased: after a Gaussian of (length / size - 1) / 2 pixels, with zeros beyond the border. Else the
    border is a mirror.
    """
    step = length / size
    place = (np.arange(size) + 0.5) * step - 0.5
    sigma = max(0.0, (step - 1) / 2) if antialiased else 0.0
    if not antialiased:
        place = (length - 1 - abs(length - 1 - abs(place))).clip(0)
    reach = int(_GAUSSIAN_REACH * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (sigma or 1.0)) ** 2)
    kernel /= kernel.sum()
    before = np.floor(place).astype(np.int32)
    share = (place - before)[:, None]
    # An output lies between two pixels, and its kernel between theirs.
    weights = np.zeros((size, kernel.size + 1), dtype=np.float32)
    weights[:, :-1] = (1 - share) * kernel
    weights[:, 1:] += share * kernel
    pixel = before[:, None] + np.arange(-reach, reach + 2, dtype=np.int32)
    weights[(pixel < 0) | (pixel >= length)] = 0
    starts = np.arange(0, weights.size + 1, kernel.size + 1, dtype=np.int32)
    return csr_array((weights.ravel(), pixel.clip(0, length - 1).ravel(), starts), shape=(size, length))


def test_pattern(size: int) -> Picture:
    """Return the picture that golden scores belong to: (size, size) uint8, integer arithmetic only.

    Bands and rings of many widths, so that every filter of a network has something to respond to.
    """
    y, x = np.mgrid[0:size, 0:size].astype(np.int64)
    rings = ((x - size // 2) ** 2 + (y - size // 3) ** 2) * 255 // (size * size)
    bands = (x * 5 + y * 2) % 256
    checks = ((x // 7) ^ (y // 11)) * 16 % 256
    return Picture(((2 * rings + bands + checks) // 4 % 256).astype(np.uint8))


def test_pictures(size: int) -> tuple[Picture, ...]:
    """Return three pictures, (size, size) uint8: the test pattern, its negative, and its enlarged quarter."""
    values = test_pattern(size).values
    quarter = values[: (size + 1) // 2, : (size + 1) // 2]
    enlarged = quarter.repeat(2, axis=0).repeat(2, axis=1)[:size, :size]
    return Picture(values), Picture(np.subtract(255, values, dtype=np.uint8)), Picture(enlarged)
