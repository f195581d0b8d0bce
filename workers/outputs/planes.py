"""Planes: a case in three planes through what was found, with the outlines of mask and label."""

from collections.abc import Sequence
from pathlib import PurePath, PurePosixPath
from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from config.files import run_folder
from workers.inference.volumes.volume import Labels, Volume
from workers.metrics.segmentation import spacing_of
from workers.outputs.folder import OutputFolder
from workers.outputs.overlays import confined, encode

N = TypeVar("N", np.float32, np.uint8)

_SIDE: Final = 256
"""Pixels of each plane's longer side."""

_GAP: Final = 4

_FOUND: Final = (0, 94, 213)
_LABELLED: Final = (178, 114, 0)
"""BGR: Okabe and Ito's vermilion for what was found, and their blue, made lighter, for the label."""

_LIGHTER: Final = 60

_GREYS: Final = (1, 99)
"""Percentiles of the brain that are black and white."""


class Planes(OutputFolder):
    """The pictures of runs' cases."""

    what = "a picture"

    def write(
        self, run_id: int, image_index: str, volume: Volume, found: Labels, label: Labels | None
    ) -> str | None:
        """Write one picture; returns its path below the folder, None where there cannot be one."""
        path = planes_path(run_id, image_index)
        return self._keep(run_id, path, lambda: encode(PurePath(path), render_planes(volume, found, label)))


def planes_path(run_id: int, image_index: str) -> str:
    """Name a picture below the outputs' folder: run, planes, then the case's own path."""
    below = confined(image_index)
    return str(PurePosixPath(run_folder(run_id), "planes", below.with_name(f"{below.name}.jpg")))


def render_planes(volume: Volume, found: Labels, label: Labels | None) -> NDArray[np.uint8]:
    """Draw the first channel across x, y and z where most was found, or labelled: (h, w, 3) uint8, BGR.

    Vermilion outlines the classes that were found, blue, which is wider, those of the label. A millimetre is
    as long in each direction.
    """
    grey = volume.values[..., 0]
    brain = grey[grey != 0]
    low, high = np.percentile(brain, _GREYS) if brain.size else (0.0, 1.0)
    spacing = spacing_of(volume.affine)
    shown = found if found.any() or label is None else label
    drawn = []
    for axis in range(3):
        place = _fullest(shown, axis)
        scale = _SIDE / max(side * mm for side, mm in zip(volume.shape, spacing, strict=True))
        across = [other for other in range(3) if other != axis]
        size = tuple(max(1, round(volume.shape[other] * spacing[other] * scale)) for other in across)
        plane = np.clip((_upright(grey, axis, place) - low) * (255 / max(high - low, 1e-6)), 0, 255)
        resized = cv2.resize(plane.astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
        picture = np.asarray(cv2.cvtColor(resized, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
        if label is not None:
            lighter = [min(255, part + _LIGHTER) for part in _LABELLED]
            _outline(picture, _upright(label, axis, place), size, lighter, 2)
        _outline(picture, _upright(found, axis, place), size, _FOUND, 1)
        drawn.append(picture)
    height = max(picture.shape[0] for picture in drawn)
    framed = [
        cv2.copyMakeBorder(picture, 0, height - picture.shape[0], 0, _GAP, cv2.BORDER_CONSTANT)
        for picture in drawn
    ]
    return np.asarray(cv2.hconcat(framed), dtype=np.uint8)


def _fullest(labels: Labels, axis: int) -> int:
    """Return the plane with the most labelled voxels, the middle where there are none."""
    others = tuple(other for other in range(3) if other != axis)
    counts = np.count_nonzero(labels, axis=others)
    return int(counts.argmax()) if counts.any() else labels.shape[axis] // 2


def _upright(values: NDArray[N], axis: int, place: int) -> NDArray[N]:
    """Cut a plane, its first remaining axis to the right and its second upwards."""
    return np.ascontiguousarray(np.take(values, place, axis=axis).T[::-1])


def _outline(
    picture: NDArray[np.uint8],
    labels: Labels,
    size: tuple[int, ...],
    colour: Sequence[int],
    width: int,
) -> None:
    for value in np.unique(labels[labels != 0]):
        mask = cv2.resize((labels == value).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, colour, width)
