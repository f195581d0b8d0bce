"""A case as a network of volumes sees it: its channels in the card's order, and its labels."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

from config.failures import ImageUnusableError, Reason
from workers.inference.volumes.scan import Scan

_SAME_PLACE: Final = 1e-2
"""Millimetres by which the affines of two files of one case may differ."""

Labels = NDArray[np.uint8]
"""(x, y, z): 0 is background, and n the card's n-th class."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A case's values, float32 (x, y, z, channels), and the affine from voxels to millimetres."""

    values: NDArray[np.float32]
    affine: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y and z."""
        return self.values.shape[0], self.values.shape[1], self.values.shape[2]


ReadScan = Callable[[str, str], Scan]
"""From what a file is, such as T1, and its name to its values."""


def read_volume(image: str, files: Mapping[str, str], channels: Sequence[str], scan: ReadScan) -> Volume:
    """Read a case: a file per channel where `files` has them by their names, else the image has all.

    Raises ImageUnusableError where files do not belong together, and what `scan` raises.
    """
    if channels[0] in files:
        scans = ((channel, scan(channel, files[channel])) for channel in channels)
        return stacked(scans, len(channels))
    return volume_of(scan("the image", image), channels)


def volume_of(scan: Scan, channels: Sequence[str]) -> Volume:
    """Take one file as a case; ImageUnusableError unless it has one volume per channel."""
    found = scan.channels
    if found != len(channels):
        raise ImageUnusableError(
            Reason.WRONG_SHAPE,
            f"it has {found} channel{'s' * (found > 1)}, and the model reads {len(channels)}: "
            f"{', '.join(channels)}",
        )
    return Volume(_contrasted(scan.values.reshape(*scan.values.shape[:3], found)), scan.affine)


def stacked(scans: Iterable[tuple[str, Scan]], count: int) -> Volume:
    """Put one file per channel together; ImageUnusableError unless they have the same voxels.

    Each is let go before the next is read, so that one at a time is in memory beside the whole.
    """
    waiting = iter(scans)
    first, scan = next(waiting)
    _require_single(first, scan)
    affine = scan.affine
    values = np.empty((*scan.values.shape, count), dtype=np.float32, order="F")
    values[..., 0] = scan.values
    del scan
    for index, (name, other) in enumerate(waiting, start=1):
        _require_single(name, other)
        values[..., index] = on_grid(name, other, first, values.shape[:3], affine)
        del other
    return Volume(_contrasted(values), affine)


def labels_of(scan: Scan, volume: Volume, classes: Sequence[str], values: Sequence[int]) -> Labels:
    """Take a file as a case's labels, in which each of the classes has its value.

    Raises ImageUnusableError unless it has the case's voxels, and in them these values and 0.
    """
    found = on_grid("the label", scan, "the image", volume.shape, volume.affine)
    foreign = [value for value in np.unique(found).tolist() if value not in {0, *values}]
    if foreign:
        known = ", ".join(f"{value} {name}" for value, name in zip(values, classes, strict=True))
        raise ImageUnusableError(
            Reason.BAD_VALUES,
            f"the label has the value {foreign[0]:g}; the model knows {known}; if others stand for its "
            "classes, label_values in its card says so",
        )
    return unvalued(found.astype(np.uint8), values)


def valued(labels: Labels, values: Sequence[int]) -> Labels:
    """Give each class its value in files."""
    return np.array([0, *values], dtype=np.uint8)[labels]


def unvalued(found: NDArray[np.uint8], values: Sequence[int]) -> Labels:
    """Give each class its number in place of its value in files; what is none of them is background."""
    labels = np.zeros(np.iinfo(np.uint8).max + 1, dtype=np.uint8)
    labels[list(values)] = range(1, len(values) + 1)
    return labels[found]


def _require_single(name: str, scan: Scan) -> None:
    if scan.channels > 1:
        message = f"{name} has {scan.channels} channels; one is expected where each has a column"
        raise ImageUnusableError(Reason.WRONG_SHAPE, message)


def _contrasted(values: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = [index for index in range(values.shape[3]) if np.ptp(values[..., index]) == 0]
    if flat:
        message = f"channel {flat[0] + 1} has the same value in every voxel"
        raise ImageUnusableError(Reason.NO_CONTRAST, message)
    return values


def on_grid(
    name: str, scan: Scan, other: str, shape: tuple[int, ...], affine: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return a scan's values on another's grid; ImageUnusableError unless both have the same voxels.

    Its axes may be other ones and run backwards, as programs that make NIfTI of DICOM turn them.
    """
    if scan.channels == 1:
        turn = ornt_transform(io_orientation(scan.affine), io_orientation(affine))
        place = scan.affine @ inv_ornt_aff(turn, scan.values.shape)
        scan = Scan(apply_orientation(scan.values, turn), place)
    if scan.values.shape != shape:
        sides = " x ".join(map(str, scan.values.shape))
        expected = " x ".join(map(str, shape))
        raise ImageUnusableError(Reason.WRONG_SHAPE, f"{name} has {sides} voxels, {other} {expected}")
    if not np.allclose(scan.affine, affine, rtol=0, atol=_SAME_PLACE):
        message = f"{name} lies elsewhere than {other}: their affines differ"
        raise ImageUnusableError(Reason.WRONG_SHAPE, message)
    return scan.values
