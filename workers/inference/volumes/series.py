"""DICOM series: the files of one become a volume as NIfTI has it, its slices in their order along the normal.

Where a slice lies is in PS3.3 C.7.6.2.1.1; its axes in millimetres point to the left, to the back and up. A
series is a volume if each slice lies where it must, in a straight stack of even distances.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import UID

from config.failures import ImageUnusableError, Reason
from workers.inference.formats import dicom
from workers.inference.formats.dicom.codecs import decode_frames
from workers.inference.formats.dicom.frame import (
    Frame,
    Words,
    damage_told,
    damaged,
    number_of_frames,
    read_frame,
)
from workers.inference.formats.dicom.greyscale import modality_values, stored_values
from workers.inference.formats.dicom.header import Header, read_header
from workers.inference.formats.strangers import HEAD
from workers.inference.volumes.scan import LPS_TO_RAS, Scan, about, require_numbers

_PLACE: Final = 0.05
"""How far a slice may lie from its place, along the normal or across it, as a share of their distance."""

_SAME_PLACE: Final = 1e-2
"""Millimetres between two slices that lie at one place."""

_SAME_DIRECTION: Final = 1e-4
"""By which the cosines of two slices' directions may differ: a hundredth of a millimetre in 100."""

_RIGHT_ANGLE: Final = 1e-3
"""By which lengths and the angle of two directions may miss 1 and 0, as they are written with few digits."""

_GROUPS: Final = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
}
"""The functional groups of an enhanced object that say of each frame, or of all, what others say of one."""

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Slice:
    """One frame's values, (rows, columns), and where they lie, in millimetres of the patient.

    `axes`: the directions along a row and along a column, (2, 3). `spacing`: of rows and of columns.
    """

    name: str
    values: NDArray[np.float32]
    position: Vector
    axes: Vector
    spacing: Vector


def read_series(files: Iterable[tuple[str, bytes]], max_voxels: int) -> Scan:
    """Read a series' files, each a name and its content; raises ImageUnusableError where they are no volume.

    Files that are no DICOM, and DICOM objects without a picture, such as a DICOMDIR, are passed over. Values
    are those of the device, after the modality LUT or rescaled, each slice by its own; no window is applied.
    """
    slices: list[_Slice] = []
    series: set[str] = set()
    strangers: list[str] = []
    voxels = count = 0
    for name, content in files:
        count += 1
        if not dicom.matches(content[:HEAD]):
            strangers.append(name)
            continue
        with about(name), damage_told():
            header = read_header(content, max_voxels)
            if _is_no_picture(header.dataset):
                continue
            series.add(str(header.dataset.get("SeriesInstanceUID", "")))
            if len(series) > 1:
                continue  # the rest is only counted
            frame = _frame(header.dataset, max_voxels)
            voxels += frame.rows * frame.columns * number_of_frames(header.dataset)
            if voxels > max_voxels:
                message = f"its slices have more than {max_voxels:,} voxels, which are allowed"
                raise ImageUnusableError(Reason.TOO_LARGE, message)
            slices += _slices(name, header, frame, max_voxels)
    if len(series) > 1:
        raise _no_volume(f"there are {len(series)} series in it: give each a folder, and name the one's")
    if not slices:
        raise ImageUnusableError(
            Reason.WRONG_FORMAT, f"there is no DICOM picture among its files ({count:,})"
        )
    _require_known(strangers, slices)
    return _stacked(slices)


# --- one file ----------------------------------------------------------------------------------------------


def _is_no_picture(dataset: Dataset) -> bool:
    """Return whether an object is of a class without pixels; one whose header is cut is none of these."""
    kind = UID(str(dataset.file_meta.get("MediaStorageSOPClassUID") or dataset.get("SOPClassUID", "")))
    return "Rows" not in dataset and kind != "" and "Image" not in kind.name


def _frame(dataset: Dataset, max_voxels: int) -> Frame:
    frame = read_frame(dataset, max_voxels)
    if not frame.grey:
        raise ImageUnusableError(Reason.WRONG_FORMAT, "it is in colour; a volume has one value per voxel")
    return frame


def _slices(name: str, header: Header, frame: Frame, max_voxels: int) -> Iterator[_Slice]:
    """Yield a file's slices: one, or those of an enhanced object."""
    facts = _facts(header.dataset)
    places = [_place(fact) for fact in facts]
    for fact, place, words in zip(
        facts, places, decode_frames(header, frame, len(facts), max_voxels), strict=True
    ):
        yield _Slice(name, _values(fact, frame, words), *place)


def _facts(dataset: Dataset) -> list[Dataset]:
    """Return what is said of each frame by itself: in functional groups, or of the only one."""
    count = number_of_frames(dataset)
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        if count > 1:
            message = "it has several frames, and does not say where each lies; export one file per slice"
            raise ImageUnusableError(Reason.WRONG_FORMAT, message)
        return [dataset]
    frames = dataset.PerFrameFunctionalGroupsSequence
    if len(frames) != count:
        raise damaged(f"it says of {len(frames):,} frames where they lie, and has {count:,}")
    (shared,) = dataset.get("SharedFunctionalGroupsSequence") or [Dataset()]
    facts = [Dataset() for _ in frames]
    for fact, frame in zip(facts, frames, strict=True):
        for group, keywords in _GROUPS.items():
            found = frame.get(group) or shared.get(group) or [Dataset()]
            for keyword in keywords:
                setattr(fact, keyword, found[0].get(keyword))
    return facts


def _place(fact: Dataset) -> tuple[Vector, Vector, Vector]:
    position = _numbers(fact, "ImagePositionPatient", 3)
    axes = _numbers(fact, "ImageOrientationPatient", 6).reshape(2, 3)
    spacing = _numbers(fact, "PixelSpacing", 2)
    if not np.allclose(axes @ axes.T, np.eye(2), rtol=0, atol=_RIGHT_ANGLE):
        raise damaged("its ImageOrientationPatient is not of two directions at a right angle")
    if spacing.min() <= 0:
        raise damaged("its PixelSpacing is not of two lengths")
    return position, axes, spacing


def _values(fact: Dataset, frame: Frame, words: Words) -> NDArray[np.float32]:
    """Return the device's values of a frame's words, looked up as there are no more than 65,536 of these."""
    values = modality_values(fact, stored_values(frame.stored, signed=frame.signed))
    return np.take(values.astype(np.float32)[frame.patterns(words)], words)


def _numbers(fact: Dataset, keyword: str, count: int) -> Vector:
    found = np.ravel(np.asarray(fact.get(keyword) or (), dtype=np.float64))
    if found.size != count or not np.isfinite(found).all():
        raise _no_volume(f"it does not say where it lies: it has no {keyword} of {count} numbers")
    return found


# --- their stack -------------------------------------------------------------------------------------------


def _stacked(slices: list[_Slice]) -> Scan:
    """Put slices together in the order of their places, and let each go."""
    if len(slices) == 1:
        raise _no_volume("it has one slice; name the folder of the whole series")
    for other in slices[1:]:
        _require_alike(slices[0], other)
    normal = np.cross(*slices[0].axes)
    normal /= np.linalg.norm(normal)
    slices.sort(key=lambda found: float(normal @ found.position))
    _require_even(slices, normal)
    first, count = slices[0], len(slices)
    affine = np.eye(4)
    affine[:3, :2] = (first.axes * first.spacing[::-1, None]).T  # rows are apart along a column
    affine[:3, 2] = (slices[-1].position - first.position) / (count - 1)
    affine[:3, 3] = first.position
    names = tuple(found.name for found in slices)
    values = np.empty((*first.values.shape[::-1], count), dtype=np.float32, order="F")
    for place in reversed(range(count)):
        values[..., place] = slices.pop().values.T
    return require_numbers(Scan(values, LPS_TO_RAS @ affine, names))


def _require_known(strangers: list[str], slices: list[_Slice]) -> None:
    """Raise ImageUnusableError for a file that is named as the slices are and is none: it may be a slice."""
    endings = {PurePosixPath(found.name).suffix for found in slices}
    odd = [name for name in strangers if PurePosixPath(name).suffix in endings]
    if odd:
        raise damaged(f"{odd[0]!r}: it is named as the slices are, and is no DICOM file")


def _require_alike(one: _Slice, other: _Slice) -> None:
    """Raise ImageUnusableError where two slices cannot be of one stack."""
    both = f"{one.name!r} and {other.name!r}"
    if one.values.shape != other.values.shape:
        sizes = " and ".join(
            f"{columns} x {rows}" for rows, columns in (one.values.shape, other.values.shape)
        )
        raise _no_volume(f"its slices differ in size: {both} have {sizes} pixels")
    if not np.allclose(one.axes, other.axes, rtol=0, atol=_SAME_DIRECTION):
        raise _no_volume(f"its slices differ in direction: {both} are not parallel, or turned")
    if not np.allclose(one.spacing, other.spacing, rtol=_SAME_DIRECTION, atol=0):
        raise _no_volume(f"its slices differ in spacing: the pixels of {both} are not of one size")


def _require_even(slices: list[_Slice], normal: Vector) -> None:
    """Raise ImageUnusableError unless slices, sorted along the normal, lie in a straight and even stack."""
    places = np.array([found.position for found in slices])
    depths = places @ normal
    gaps = np.diff(depths)
    nearest = int(gaps.argmin())
    if gaps[nearest] < _SAME_PLACE:
        both = f"{slices[nearest].name!r} and {slices[nearest + 1].name!r}"
        raise _no_volume(
            f"two of its slices lie at one place, {depths[nearest]:.2f} mm along their normal: {both}; is it "
            "of several times or echoes? give each a folder"
        )
    step = (depths[-1] - depths[0]) / (len(slices) - 1)
    even = depths[0] + step * np.arange(len(slices))
    if np.abs(depths - even).max() > _PLACE * step:
        usual = float(np.median(gaps))
        odd = int(np.abs(gaps - usual).argmax())
        raise _no_volume(
            f"between {depths[odd]:.2f} and {depths[odd + 1]:.2f} mm along their normal its slices are "
            f"{gaps[odd]:.2f} mm apart, and {usual:.2f} mm elsewhere: one is missing, or they are uneven"
        )
    aside = np.linalg.norm(places - places[0] - np.outer(depths - depths[0], normal), axis=1).max()
    if aside > _PLACE * step:
        raise _no_volume(
            f"its slices do not lie straight above one another: over {depths[-1] - depths[0]:.2f} mm they "
            f"move {aside:.2f} mm aside, as with a tilted gantry; resample it first"
        )


def _no_volume(message: str) -> ImageUnusableError:
    return ImageUnusableError(Reason.WRONG_SHAPE, message)
