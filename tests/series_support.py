"""DICOM series that tests make: an MR scan's slices as a scanner sends them, each a file."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from dicom_support import PATIENT
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import format_number_as_ds

PATIENT_ID = "SEEDED-NUMBER"

SAGITTAL = np.array([[0, 0, 3.0, -40], [-0.5, 0, 0, 60], [0, -0.5, 0, 50], [0, 0, 0, 1]])
"""Rows to the back, columns down and slices to the right: as many sagittal scans are."""


def uid_of(*facts: object) -> UID:
    """The same UID for the same facts."""
    return UID(f"2.25.{int.from_bytes(hashlib.sha256(repr(facts).encode()).digest()[:15])}")


def oblique(spacing: tuple[float, float, float], turns: tuple[float, float, float]) -> NDArray[np.float64]:
    """A right-handed affine to the right, front and up, turned about its axes by so many radians."""
    turned = np.eye(3)
    for axis, angle in enumerate(turns):
        one, other = (number for number in range(3) if number != axis)
        about = np.eye(3)
        about[[one, other], [one, other]] = np.cos(angle)
        about[one, other], about[other, one] = -np.sin(angle), np.sin(angle)
        turned = turned @ about
    affine = np.eye(4)
    affine[:3, :3] = turned @ np.diag(spacing)
    affine[:3, 3] = [-70.25, 12.5, -33.125]
    return affine


def slice_of(
    values: NDArray[np.int16 | np.uint16],
    affine: NDArray[np.float64],
    place: int,
    *,
    study_uid: str = uid_of("study"),
    series_uid: str = uid_of("series"),
    **attributes: Any,
) -> Dataset:
    """One slice of values (x, y, z) as an MR image, uncompressed.

    `affine`: from voxels to millimetres, as NIfTI has it, without shear. `attributes`: by their keywords,
    more or in place of those that there are; None leaves one out.
    """
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    axes = lps[:3, :2] / spacing[:2]
    words = np.ascontiguousarray(values[..., place].T)
    facts: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "ImageType": ["ORIGINAL", "PRIMARY", "OTHER"],
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": uid_of(series_uid, place),
        "StudyDate": "20240105",
        "StudyTime": "080000",
        "AccessionNumber": "",
        "Modality": "MR",
        "BodyPartExamined": "BRAIN",
        "Manufacturer": "Nightread tests",
        "ReferringPhysicianName": "",
        "PatientName": PATIENT,
        "PatientID": PATIENT_ID,
        "PatientBirthDate": "",
        "PatientSex": "O",
        "ScanningSequence": "SE",
        "SequenceVariant": "NONE",
        "ScanOptions": "",
        "MRAcquisitionType": "2D",
        "SliceThickness": number(spacing[2]),
        "RepetitionTime": "500",
        "EchoTime": "10",
        "EchoTrainLength": "1",
        "PatientPosition": "HFS",
        "StudyInstanceUID": study_uid,
        "SeriesInstanceUID": series_uid,
        "StudyID": "1",
        "SeriesNumber": "1",
        "InstanceNumber": str(place + 1),
        "ImagePositionPatient": list(map(number, lps[:3] @ [0, 0, place, 1])),
        "ImageOrientationPatient": list(map(number, axes.T.ravel())),
        "FrameOfReferenceUID": uid_of(study_uid, "frame"),
        "PositionReferenceIndicator": "",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": words.shape[0],
        "Columns": words.shape[1],
        "PixelSpacing": [number(spacing[1]), number(spacing[0])],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": int(words.dtype.kind == "i"),
    }
    dataset = Dataset()
    for keyword, value in (facts | attributes).items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.add_new("PixelData", "OW", words.astype(words.dtype.newbyteorder("<")).tobytes())
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def enhanced_of(
    values: NDArray[np.int16 | np.uint16], affine: NDArray[np.float64], *, slope: float = 1.0
) -> Dataset:
    """All slices as the frames of one enhanced MR image, the last one first."""
    places = [*reversed(range(values.shape[2]))]
    slices = [slice_of(values, affine, place) for place in places]
    whole = slice_of(values, affine, 0, SOPClassUID=EnhancedMRImageStorage, NumberOfFrames=str(len(places)))
    whole.PixelData = b"".join(found.PixelData for found in slices)
    shared, scaled = Dataset(), Dataset()
    scaled.RescaleSlope, scaled.RescaleIntercept, scaled.RescaleType = number(slope), "0", "US"
    shared.PixelValueTransformationSequence = [scaled]
    moved = {
        "PlaneOrientationSequence": (shared, "ImageOrientationPatient"),
        "PixelMeasuresSequence": (shared, "PixelSpacing"),
    }
    for group, (of, keyword) in moved.items():
        fact = Dataset()
        setattr(fact, keyword, whole[keyword].value)
        setattr(of, group, [fact])
    shared.PixelMeasuresSequence[0].SliceThickness = whole.SliceThickness
    frames = []
    for found in slices:
        frame, fact = Dataset(), Dataset()
        fact.ImagePositionPatient = found.ImagePositionPatient
        frame.PlanePositionSequence = [fact]
        frames.append(frame)
    whole.SharedFunctionalGroupsSequence, whole.PerFrameFunctionalGroupsSequence = [shared], frames
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        del whole[keyword]
    return whole


def write_series(
    folder: Path,
    values: NDArray[np.int16 | np.uint16],
    affine: NDArray[np.float64],
    *,
    edit: Callable[[int, Dataset], None] = lambda _place, _slice: None,
    **attributes: Any,
) -> list[Path]:
    """Write values (x, y, z) as a series into a folder; returns its files along z.

    The names of the files say nothing of their order. `edit` changes what is written of a slice. Keywords are
    `slice_of`'s.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for place in range(values.shape[2]):
        dataset = slice_of(values, affine, place, **attributes)
        edit(place, dataset)
        paths.append(folder / f"IM{place * 7919 % 10007:05}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    return paths


def number(value: float) -> str:
    """A decimal string, with as many digits as it may have."""
    return format_number_as_ds(float(value))
