"""DICOM files as hospitals have them: a frontal film of a chest, of which a test changes what it is about."""

import io
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

PATIENT = {
    "PatientName": "SEEDED^PATIENT",
    "PatientID": "MRN-4711",
    "PatientBirthDate": "19480229",
    "AccessionNumber": "ACC-0815",
}
"""What must not be found anywhere, but for the identifier where it is asked for."""

FILM: dict[str, Any] = {
    "SOPClassUID": ComputedRadiographyImageStorage,
    "SOPInstanceUID": "1.2.3.4",
    "StudyInstanceUID": "1.2.3",
    "SeriesInstanceUID": "1.2.3.1",
    "Modality": "CR",
    "ViewPosition": "PA",
    "BodyPartExamined": "CHEST",
    "PatientAge": "060Y",
    "PatientSex": "F",
    "PixelSpacing": [0.2, 0.1],
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "Rows": 16,
    "Columns": 16,
    "BitsAllocated": 8,
    "BitsStored": 8,
    "HighBit": 7,
    "PixelRepresentation": 0,
    "PixelData": bytes(range(256)),
}


def film_of(syntax: UID = ExplicitVRLittleEndian, /, **attributes: Any) -> bytes:
    """A film's file; attributes by their keywords, None leaves one out."""
    dataset = Dataset()
    for keyword, value in (FILM | PATIENT | attributes).items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "1.2")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "1.2")
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def write_film(path: Path, syntax: UID = ExplicitVRLittleEndian, /, **attributes: Any) -> Path:
    """Write a film, with the folders that lead to it, and with a UID of its own if it is given none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = {"SOPInstanceUID": f"1.2.{int.from_bytes(path.name.encode()) % 10**30}"}
    path.write_bytes(film_of(syntax, **own | attributes))
    return path


def write_directory(path: Path, *names: list[str]) -> Path:
    """Write a DICOMDIR of a patient with these files, each named part by part."""
    records = []
    for parts in [[], *names]:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE" if parts else "PATIENT"
        record.PatientName, record.PatientID = PATIENT["PatientName"], PATIENT["PatientID"]
        if parts:
            record.ReferencedFileID = parts
        records.append(record)
    directory = Dataset()
    directory.FileSetID = "CD"
    directory.DirectoryRecordSequence = records
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.9")
    stream = io.BytesIO()
    directory.save_as(stream, enforce_file_format=True)
    path.write_bytes(stream.getvalue())
    return path
