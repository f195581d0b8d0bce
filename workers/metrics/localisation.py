"""Whether a map points where a radiologist drew a box.

Pointing game: J. Zhang et al., "Top-down neural attention by excitation backprop", International Journal of
Computer Vision 126 (2018) 1084-1102, here without a tolerance around the box.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.inference.peak import locate
from workers.inference.region import Region
from workers.metrics.averages import mean_interval
from workers.metrics.shares import clustered_wilson

LEVEL: Final = 0.5
"""The part of the map that is at least this high, as a share of its maximum, is compared with the boxes."""

_AXES: Final = (2, 2)
_COORDINATES: Final = 4


@dataclass(frozen=True, slots=True)
class Localisation:
    """How well a map agrees with the boxes of one image and finding; None, with the reason, if undefined.

    `hit`: the map's peak lies in one of the boxes. `iou`: intersection over union of the map at the level and
    all boxes together.
    """

    hit: bool | None
    iou: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class LocalisationSummary:
    """A finding's maps against its boxes; None, with the reason, where no image could be judged.

    `n`: the images that could be judged. `pointing`: the share of hits; Wilson's 95% interval, by patient.
    `mean_iou`: over the same images; its interval, by patient, needs 30 patients.
    """

    n: int
    hits: int
    pointing: float | None
    ci_low: float | None
    ci_high: float | None
    mean_iou: float | None
    mean_iou_low: float | None
    mean_iou_high: float | None
    reason: str | None = None


def localise(
    map_: NDArray[np.floating],
    boxes: NDArray[np.generic],
    width: int,
    height: int,
    *,
    seen: Region | None = None,
    level: float = LEVEL,
) -> Localisation:
    """Compare a map (h, w) with boxes (k, 4) of x, y, width, height in pixels of an image width x height.

    `seen` is the part of the image that the map covers; without it the whole. The peak is the one that a run
    stores (`workers.inference.peak`). For the IoU the map is resized to that part, bilinear, and cut at
    `level` times its maximum; a pixel belongs to a box if its centre does, and what of a box lies outside the
    image does not count. A map without a positive value points nowhere: a miss with an IoU of 0, and not left
    out, as that would flatter the model.
    Raises ValueError for other shapes, for a part that is not within the image, for a level outside (0, 1].
    """
    seen = seen or Region(0, 0, width, height)
    if not map_.size or (map_.ndim, boxes.ndim) != _AXES or boxes.shape[1] != _COORDINATES:
        raise ValueError(f"map {map_.shape} and boxes {boxes.shape} are not (h, w) and (k, 4)")
    if not _within(seen, width, height) or not 0 < level <= 1:
        raise ValueError(f"{seen} in an image of {width} x {height} pixels, a level of {level}")
    drawn = boxes.astype(np.float64)
    inside = _inside(drawn, width, height)
    reason = None
    if not len(boxes):
        reason = "no box"
    elif not np.isfinite(drawn).all():
        reason = "a box has a coordinate that is no number"
    elif not inside.any():
        reason = "no box covers a pixel of the image"
    elif not np.isfinite(map_).all():
        reason = "the map has a value that is no number"
    if reason:
        return Localisation(None, None, reason)
    values = map_.astype(np.float32)
    peak = locate(values, seen)
    if peak is None:
        return Localisation(hit=False, iou=0.0, reason="the map has no positive value")
    across, down = peak.point[0] + 0.5 - drawn[:, 0], peak.point[1] + 0.5 - drawn[:, 1]
    hit = (across >= 0) & (across < drawn[:, 2]) & (down >= 0) & (down < drawn[:, 3])
    resized = cv2.resize(values, (seen.width, seen.height), interpolation=cv2.INTER_LINEAR)
    high = np.zeros_like(inside)
    rows, columns = slice(seen.top, seen.top + seen.height), slice(seen.left, seen.left + seen.width)
    high[rows, columns] = resized >= level * np.max(values)
    return Localisation(bool(hit.any()), np.count_nonzero(high & inside) / np.count_nonzero(high | inside))


def summarise_localisations(
    results: Sequence[Localisation], patients: NDArray[np.intp]
) -> LocalisationSummary:
    """Summarise the images (N,) of one finding, of patients with the numbers (N,).

    Images without a judgement are left out.
    """
    judged = [
        (patient, result.hit, result.iou)
        for patient, result in zip(patients, results, strict=True)
        if result.hit is not None and result.iou is not None
    ]
    if not judged:
        return LocalisationSummary(0, 0, None, None, None, None, None, None, "no image with a map and a box")
    whose, hit, iou = map(np.array, zip(*judged, strict=True))
    hits = int(hit.sum())
    low, high = clustered_wilson(np.bincount(whose[hit], minlength=whose.max() + 1), np.bincount(whose))
    iou_low, iou_high = mean_interval(iou, whose)
    return LocalisationSummary(
        len(judged), hits, hits / len(judged), low, high, float(iou.mean()), iou_low, iou_high
    )


def _inside(boxes: NDArray[np.float64], width: int, height: int) -> NDArray[np.bool_]:
    """Return the mask (height, width) of the boxes' union."""
    inside = np.zeros((height, width), dtype=np.bool_)
    columns, rows = np.arange(width) + 0.5, np.arange(height) + 0.5
    for x, y, box_width, box_height in boxes:
        across = (columns >= x) & (columns < x + box_width)
        down = (rows >= y) & (rows < y + box_height)
        inside |= down[:, None] & across[None, :]
    return inside


def _within(part: Region, width: int, height: int) -> bool:
    columns = 0 <= part.left < part.left + part.width <= width
    return columns and 0 <= part.top < part.top + part.height <= height
