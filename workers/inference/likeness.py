"""Whether two pictures are copies of one: resized, encoded again, brightened, slightly cropped or inverted.

Chest films look alike, and two films of one patient more so. What tells them apart is the fine structure once
one is laid over the other. It is compared with its local contrast made even, so that brightness and windows
do not count; the distribution of greys says nothing. docs/duplicates.md has what was measured.
"""

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.inference.formats.picture import Picture, Values, as_bytes, is_grey

SIDE: Final = 64
"""Pixels of a look."""

PLACES: Final = 16
"""Pixels of a sketch's side."""

NEAR: Final = 0.85
"""The correlation of sketches, as they are, beyond which a step of alignment is taken."""

NEARER: Final = 0.9
"""The correlation of sketches after it beyond which looks are aligned."""

CLOSE: Final = 0.7
"""The correlation of aligned looks beyond which the pictures themselves are compared."""

COPY: Final = 0.8
"""The correlation of aligned pictures beyond which they are copies."""

_FINE_SIDE: Final = 128
_STEPS: Final = 40.0
"""Of a look's integers per standard deviation."""

_ALIGNING: Final = 4.0
"""Standard deviation of the Gaussian that pictures are aligned by, in pixels; a structure's size."""

_COMPARING: Final = 2.0
"""Standard deviation of the Gaussian that they are compared by."""

_MARGIN: Final = 0.02
"""Part of each side that the second sketch leaves out: it finds what was cropped by up to 4%."""

_LEAST_SPREAD: Final = 1.0
"""Grey values; a picture with less has no structure."""

_MOST_TURN: Final = 0.01
"""Of a transform; copies have less than 0.005."""

_MOST_SCALE: Final = 0.12
"""Of what is left after both are stretched to squares; a crop by 4% of each side makes 0.08."""

_LEAST_COMMON: Final = 0.6
"""Part of a picture that must lie over the other one."""

Look = NDArray[np.int8]
"""What is kept of each picture: greys (64, 64), 40 per standard deviation; 0 if it has no structure."""

Looks = NDArray[np.int8]
"""Looks of many pictures, (N, 64, 64)."""

Plane = NDArray[np.float32]


class Sketches(NamedTuple):
    """What looks are searched by: even structure of the whole and of the middle, (N, 256) each.

    A row has length 1, so that products of two are correlations; it is 0 where there is no structure.
    """

    whole: Plane
    middle: Plane

    def part(self, which: slice | NDArray[np.intp]) -> "Sketches":
        """Return some of them, by their numbers."""
        return Sketches(self.whole[which], self.middle[which])


def look_at(picture: Picture) -> Look:
    """Reduce a picture to its look."""
    look: Look = np.rint(_standardised(picture, SIDE) * _STEPS).clip(-127, 127).astype(np.int8)
    return look


def grey_values(picture: Picture) -> Values:
    """Return a picture's greys, (height, width): equal for a film as DICOM and what was exported of it."""
    # Of a deep picture nobody knows which bits are used: rounded, a dark one would be nearly flat.
    values = picture.values if picture.deep else as_bytes(picture.values)
    return values if is_grey(values) else np.asarray(Image.fromarray(values).convert("L"))


def sketches(looks: Looks) -> Sketches:
    """Return the sketches of looks."""
    whole, middle = (np.empty((len(looks), PLACES**2), dtype=np.float32) for _ in range(2))
    keep = 1 - 2 * _MARGIN
    shift = (SIDE - 1) / 2 * (1 - keep)
    inner = np.array([[keep, 0, shift], [0, keep, shift]], dtype=np.float32)
    for number, look in enumerate(looks):
        greys = look.astype(np.float32)
        whole[number] = _sketch(greys)
        middle[number] = _sketch(_warped(greys, inner, cv2.BORDER_REPLICATE))
    return Sketches(whole, middle)


def shifted_likeness(first: Sketches, second: Sketches) -> NDArray[np.floating]:
    """Return the correlation of each sketch with the other of its row after a step of alignment, (N,).

    It is one of Gauss and Newton, for a shift and a scale along each axis, half of which each picture takes.
    """
    choices = ((first.whole, second.whole), (first.whole, second.middle), (first.middle, second.whole))
    products = np.stack([np.einsum("nk,nk->n", one, other) for one, other in choices])
    best = np.abs(products).argmax(axis=0)[:, None]
    sign = np.sign(np.take_along_axis(products, best.T, axis=0)).T
    one = np.where(best == len(choices) - 1, first.middle, first.whole)
    other = np.where(best == 1, second.middle, second.whole) * sign
    changes = (_changes(one) + _changes(other)) / 2
    normal = changes @ changes.transpose(0, 2, 1) + np.float32(1e-6) * np.eye(4, dtype=np.float32)
    step = np.linalg.solve(normal, changes @ (one - other)[..., None])
    moved = (changes.transpose(0, 2, 1) @ step)[..., 0] / 2
    one, other = _centred(one - moved), _centred(other + moved)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    likenesses: NDArray[np.floating] = np.einsum("nk,nk->n", one, other) / np.maximum(lengths, 1e-6)
    return likenesses


def _centred(sketched: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(sketched - sketched.mean(axis=1, keepdims=True))


def _changes(sketched: Plane) -> Plane:
    """Return how sketches (N, 256) change with a shift and a scale along each axis, (N, 4, 256)."""
    greys = sketched.reshape(-1, PLACES, PLACES)
    down, across = np.gradient(greys, axis=1), np.gradient(greys, axis=2)
    y, x = np.mgrid[-1 : 1 : PLACES * 1j, -1 : 1 : PLACES * 1j].astype(np.float32)
    return np.stack([across, down, x * across, y * down], axis=1).reshape(-1, 4, PLACES**2)


def coarse_likeness(look: Look, other: Look) -> float:
    """Return the correlation of two looks once aligned; negative if one is the negative of the other."""
    return _laid_over(look.astype(np.float32), other.astype(np.float32))[0]


def likeness(picture: Picture, other: Picture) -> float:
    """Return the correlation of two pictures' structure once aligned, as `coarse_likeness`.

    It is 0 if cropping and resizing cannot make one of the other: two films of one patient can be laid over
    each other if one of them is turned or sheared.
    """
    coarse, placed = _laid_over(_standardised(picture, SIDE), _standardised(other, SIDE))
    if placed is None:
        return 0.0
    sign = 1.0 if coarse >= 0 else -1.0
    fine, behind = (_standardised(shown, _FINE_SIDE) for shown in (picture, other))
    # The same transform in pixels of half the size, whose middles are not at whole numbers of the larger.
    ratio = _FINE_SIDE / SIDE
    start = placed.copy()
    start[:, 2] = ratio * (placed[:, :2].sum(axis=1) * (0.5 / ratio - 0.5) + placed[:, 2] + 0.5) - 0.5
    refined = _aligned(_even(fine, _ALIGNING), sign * _even(behind, _ALIGNING), start)
    best = start if refined is None else refined
    off = np.abs(best[:, :2] - np.eye(2))
    if max(off[0, 1], off[1, 0]) > _MOST_TURN or max(off[0, 0], off[1, 1]) > _MOST_SCALE:
        return 0.0
    return _correlation(_even(fine, _COMPARING), _even(behind, _COMPARING), best)


def _laid_over(greys: Plane, others: Plane) -> tuple[float, Plane | None]:
    """Align two planes; returns their correlation, and the transform of the first's places to the other's."""
    first, second = _even(greys, _ALIGNING), _even(others, _ALIGNING)
    sign = 1.0 if float(np.vdot(first, second)) >= 0 else -1.0
    placed = _aligned(first, np.float32(sign) * second, np.eye(2, 3, dtype=np.float32))
    if placed is None:
        return 0.0, None
    return _correlation(_even(greys, _COMPARING), _even(others, _COMPARING), placed), placed


def _standardised(picture: Picture, side: int) -> Plane:
    """Return a picture's greys, stretched to a square of mean 0 and standard deviation 1."""
    values = grey_values(picture)
    smaller = max(values.shape) >= side
    way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    small = cv2.resize(values.astype(np.float32, copy=False), (side, side), interpolation=way)
    spread = float(small.std())
    if spread < _LEAST_SPREAD:
        return np.zeros((side, side), dtype=np.float32)
    return np.asarray((small - small.mean()) / spread, dtype=np.float32)


def _even(greys: Plane, sigma: float) -> Plane:
    """Return what is left of greys without what is smooth, in units of how much there is nearby."""
    fine = greys - cv2.GaussianBlur(greys, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    nearby = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), sigma, borderType=cv2.BORDER_REFLECT))
    # Where there is next to nothing, it is noise, and not made larger.
    even: Plane = fine / (nearby + 0.1 * nearby.mean() + 0.03 * greys.std() + np.float32(1e-6))
    return even


def _sketch(greys: Plane) -> NDArray[np.float32]:
    places = cv2.resize(_even(greys, _ALIGNING), (PLACES, PLACES), interpolation=cv2.INTER_AREA).ravel()
    places = places - places.mean()
    return np.asarray(places / max(float(np.linalg.norm(places)), 1e-6), dtype=np.float32)


def _warped(greys: Plane, placed: Plane, border: int, outside: float = 0.0) -> Plane:
    way = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = greys.shape[::-1]
    warped = cv2.warpAffine(greys, placed, size, flags=way, borderMode=border, borderValue=outside)
    return np.asarray(warped, dtype=np.float32)


def _aligned(first: Plane, second: Plane, start: Plane) -> Plane | None:
    """Return the affine transform under which two planes correlate best (Evangelidis and Psarakis 2008)."""
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-3)
    try:
        _, placed = cv2.findTransformECC(first, second, start.copy(), cv2.MOTION_AFFINE, stop)
    except cv2.error:  # it diverges where there is nothing to align
        return None
    return np.asarray(placed, dtype=np.float32)


def _correlation(first: Plane, second: Plane, placed: Plane) -> float:
    over = _warped(second, placed, cv2.BORDER_CONSTANT, np.nan)
    common = np.isfinite(over)
    if common.mean() < _LEAST_COMMON:
        return 0.0
    one, other = first[common], over[common]
    one, other = one - one.mean(), other - other.mean()
    lengths = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    return float(np.vdot(one, other)) / lengths if lengths else 0.0
