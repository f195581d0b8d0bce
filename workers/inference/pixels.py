"""From a decoded picture to the network's input, prepared as the model card says."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from config.cards.classification import Preprocessing
from workers.inference.formats.picture import Picture, Values, is_grey
from workers.inference.region import CROPS, five_crops, middle, resized_shape, visible_region

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_PILLOW: Final = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}

_OUTSIDE: Final = np.float32(127.5)
"""What XRayResizer sees beyond the border: it resizes values from -1024 to 1024 and puts 0 there."""

_FILTER_REACH: Final = 3.0  # pixels; bicubic's is 2

_LONG_STRIP: Final = 16  # times as long as its middle

_GAUSSIAN_REACH: Final = 4.0  # standard deviations, as scipy.ndimage.gaussian_filter cuts its kernel


def prepare(picture: Picture, pixels: Preprocessing) -> NDArray[np.float32]:
    """Crop, resize and scale a picture: (size, size, channels) float32, (value * factor - mean) / std.

    Of a card with ten crops it is the middle.
    """
    return _scaled(_resize(_as_channels(picture, pixels), pixels, None), pixels)


def prepare_views(picture: Picture, pixels: Preprocessing) -> NDArray[np.float32]:
    """Return what a picture's score is the mean of: (views, size, size, channels), the first from `prepare`.

    It is the only one, or ten: the middle and the four corners, then those of the picture's mirror image.
    """
    return scaled_views(resized_views(picture, pixels), pixels)


def resized_views(picture: Picture, pixels: Preprocessing) -> Values:
    """Return the views as they are resized: (views, size, size), of a colour picture (views, size, size, 3).

    Those of the mirror image are not mirrored yet. Values are 0-255, and uint8 where the picture's are and
    the method rounds.
    """
    values = _as_channels(picture, pixels)
    if not pixels.ten_crops:
        return _resize(values, pixels, None)[None]
    across, down = resized_shape(pixels, picture.width, picture.height)
    places = five_crops(pixels.size, across, down)
    # Not the mirror image of each: where the middle is not whole pixels from the sides, it is another one.
    places += [(across - pixels.size - left, top) for left, top in places]
    return np.stack([_resize(values, pixels, place) for place in places])


def scaled_views(views: Values, pixels: Preprocessing) -> NDArray[np.float32]:
    """Make the network's input of what `resized_views` gives: (views, size, size, channels)."""
    scaled = [_scaled(view, pixels) for view in views]
    if not pixels.ten_crops:
        return scaled[0][None]
    return np.stack([*scaled[:CROPS], *(view[:, ::-1] for view in scaled[CROPS:])])


def _as_channels(picture: Picture, pixels: Preprocessing) -> Values:
    """Return a picture's values, cropped, in colour only for a network that takes it."""
    values: Values = picture.values
    if pixels.center_crop:
        seen = visible_region(pixels, picture.width, picture.height)
        values = values[seen.top : seen.top + seen.height, seen.left : seen.left + seen.width]
    if not is_grey(values) and pixels.channels == 1:
        # Pillow's conversion keeps greys as they are: a colour picture of greys becomes the grey picture.
        values = np.asarray(Image.fromarray(values).convert("L"))
    return values


def _scaled(resized: Values, pixels: Preprocessing) -> NDArray[np.float32]:
    scale = np.float32(pixels.factor) / np.asarray(pixels.std, dtype=np.float32)
    shift = np.asarray(pixels.mean, dtype=np.float32) / np.asarray(pixels.std, dtype=np.float32)
    scaled = np.empty((pixels.size, pixels.size, pixels.channels), dtype=np.float32)
    for channel in range(pixels.channels):
        # Plane by plane: NumPy's loop over an innermost axis of three takes three times as long.
        plane = resized if is_grey(resized) else resized[..., channel]
        np.subtract(plane * scale[channel], shift[channel], out=scaled[..., channel])
    return _standardised(scaled) if pixels.standardize else scaled


def _standardised(prepared: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (x - mean) / std of all values; TensorFlow keeps the divisor of an even picture above 0."""
    std = max(prepared.std(dtype=np.float64), prepared.size**-0.5)
    standardised: NDArray[np.float32] = (prepared - prepared.mean(dtype=np.float64)).astype(np.float32)
    standardised /= np.float32(std)
    return standardised


@dataclass(frozen=True, slots=True)
class _Axis:
    """An axis of a picture of `length` pixels, resized to `full`, of which `count` are kept from `start`."""

    length: int
    full: int
    start: int
    count: int

    @property
    def kept(self) -> slice:
        return slice(self.start, self.start + self.count)


def _resize(values: Values, pixels: Preprocessing, place: tuple[int, int] | None) -> Values:
    """Resize values, and keep the part at a `place`, (left, top), or in the middle."""
    height, width = values.shape[:2]
    across, down = resized_shape(pixels, width, height)
    left, top = place or middle(pixels.size, across, down)
    rows, columns = _Axis(height, down, top, pixels.size), _Axis(width, across, left, pixels.size)
    if (height, width) == (down, across):
        return values[rows.kept, columns.kept]
    if pixels.resize in _PILLOW:
        # Grey is resized once, not three times; float32 goes through Pillow's mode F.
        return _resize_as_pillow(values, rows, columns, _PILLOW[pixels.resize])
    if is_grey(values):
        return _resize_plane(values, rows, columns, pixels.resize)
    planes = np.moveaxis(values, -1, 0)
    return np.dstack([_resize_plane(plane, rows, columns, pixels.resize) for plane in planes])


def _resize_as_pillow(values: Values, rows: _Axis, columns: _Axis, method: Image.Resampling) -> Values:
    """Resize with Pillow, and cut out the middle."""
    (left, right), (top, bottom) = _reached(columns), _reached(rows)
    across, down = columns.length / columns.full, rows.length / rows.full
    box = (left * across, top * down, right * across, bottom * down)
    resized = np.asarray(Image.fromarray(values).resize((right - left, bottom - top), method, box=box))
    return resized[rows.start - top :, columns.start - left :][: rows.count, : columns.count]


def _reached(axis: _Axis) -> tuple[int, int]:
    """Return the outputs that are computed: all, or of a very long strip the middle and what it needs.

    The whole of a picture a thousand times as wide as high would not fit into memory. Pillow keeps the ends
    of a part as float32, so that a part's greys may be one off.
    """
    if axis.full <= _LONG_STRIP * axis.count:
        return 0, axis.full
    margin = int(np.ceil(_FILTER_REACH * max(1.0, axis.full / axis.length))) + 1
    return max(0, axis.start - margin), min(axis.full, axis.start + axis.count + margin)


def _resize_plane(plane: Values, rows: _Axis, columns: _Axis, method: str) -> Values:
    if method == "tensor-antialiased":
        # torch's filter is Pillow's, but of numbers that nobody rounds.
        return _resize_as_pillow(plane.astype(np.float32), rows, columns, Image.Resampling.BILINEAR)
    return _resize_by_weights(plane, rows, columns, method)


def _resize_by_weights(plane: Values, rows: _Axis, columns: _Axis, method: str) -> NDArray[np.float32]:
    """Resize (height, width) as scikit-image or torch: a product with one sparse matrix per axis.

    Their methods are linear in the values and separable, and an output needs few of the pixels: filtering the
    whole picture first, as scikit-image does, takes ten times as long.
    """
    antialiased = method == "gaussian"
    outside = _OUTSIDE if antialiased else np.float32(0)
    values = np.subtract(plane, outside, dtype=np.float32)
    down, across = _weights(rows, method), _weights(columns, method)
    resized: NDArray[np.float32]
    # In this order the result of the first product is never larger than both picture and result.
    resized = (across @ (down @ values).T).T if rows.length >= rows.count else down @ (across @ values.T).T
    if antialiased and (resized.min() > 0 or resized.max() < 0):
        # scikit-image keeps the mid-grey outside from darkening the border of a very bright picture.
        resized = resized.clip(values.min(), values.max())
    return resized + outside


def _weights(axis: _Axis, method: str) -> "csr_array":
    """Return the weights of an axis' pixels in each output that is kept: sparse, (count, length) float32.

    gaussian: after a Gaussian of (length / full - 1) / 2 pixels, with zeros beyond the border. For linear the
    border is a mirror; for tensor its last pixel goes on.
    """
    from scipy.sparse import csr_array  # noqa: PLC0415  # most models do without, and it takes a while to load

    antialiased = method == "gaussian"
    step = axis.length / axis.full
    place = (np.arange(axis.start, axis.start + axis.count) + 0.5) * step - 0.5
    sigma = max(0.0, (step - 1) / 2) if antialiased else 0.0
    last = axis.length - 1
    if method == "linear":
        place = (last - abs(last - abs(place))).clip(0)
    elif method == "tensor":
        place = place.clip(0, last)
    reach = int(_GAUSSIAN_REACH * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (sigma or 1.0)) ** 2)
    kernel /= kernel.sum()
    before = np.floor(place).astype(np.int32)
    share = (place - before)[:, None]
    # An output lies between two pixels, and its kernel between theirs.
    weights = np.zeros((axis.count, kernel.size + 1), dtype=np.float32)
    weights[:, :-1] = (1 - share) * kernel
    weights[:, 1:] += share * kernel
    pixel = before[:, None] + np.arange(-reach, reach + 2, dtype=np.int32)
    weights[(pixel < 0) | (pixel > last)] = 0
    starts = np.arange(0, weights.size + 1, kernel.size + 1, dtype=np.int32)
    return csr_array((weights.ravel(), pixel.clip(0, last).ravel(), starts), shape=(axis.count, axis.length))


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
