"""DICOM files that tests make: a film of any words and attributes, in any transfer syntax."""

import io
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

TWELVE = (np.arange(13 * 17, dtype=np.uint16) * 18 % 4096).reshape(13, 17)
OVERLAY = {
    "OverlayRows": (0x60000010, "US"),
    "OverlayColumns": (0x60000011, "US"),
    "OverlayType": (0x60000040, "CS"),
    "OverlayOrigin": (0x60000050, "SS"),
    "OverlayBitsAllocated": (0x60000100, "US"),
    "OverlayBitPosition": (0x60000102, "US"),
}
"""Tag and VR of an overlay's elements, which pydicom sets by no keyword."""

PATIENT = "SEEDED^PATIENT"


def written(pixels: bytes, syntax: UID = ExplicitVRLittleEndian, /, **attributes: Any) -> bytes:
    """A DICOM file of these pixels; attributes by their keywords, None leaves one out."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = ComputedRadiographyImageStorage, UID("1.2.3.4")
    dataset.PatientName = PATIENT
    for keyword, value in attributes.items():
        if keyword in OVERLAY:
            dataset.add_new(*OVERLAY[keyword], value)
        elif value is not None:
            setattr(dataset, keyword, value)
    dataset.add_new("PixelData", "OB" if attributes["BitsAllocated"] == 8 else "OW", pixels)
    dataset["PixelData"].is_undefined_length = syntax.is_encapsulated
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def film(pixels: NDArray[Any], syntax: UID = ExplicitVRLittleEndian, /, **attributes: Any) -> bytes:
    """A grey film; `pixels` are its stored words, whatever their sign."""
    wide = pixels.dtype.itemsize == 2
    facts: dict[str, Any] = {
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16 if wide else 8,
        "BitsStored": 12 if wide else 8,
        "HighBit": 11 if wide else 7,
        "PixelRepresentation": 0,
    }
    order = pixels.dtype.newbyteorder("big" if syntax == ExplicitVRBigEndian else "little")
    words = pixels.astype(order).tobytes()
    return written(words + b"\0" * (len(words) % 2), syntax, **facts | attributes)


def compressed(frame: bytes, syntax: UID = JPEGBaseline8Bit, fragments: int = 1, **attributes: Any) -> bytes:
    facts: dict[str, Any] = {
        "Rows": 13,
        "Columns": 17,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
    }
    return written(encapsulate([frame], fragments_per_frame=fragments), syntax, **facts | attributes)


def run_lengths(pixels: NDArray[np.uint8]) -> bytes:
    """Encode the bytes (rows, columns, n) of a frame: runs of what repeats, else of what does not."""
    segments = [bytes(imagecodecs.packbits_encode(pixels[..., n].tobytes())) for n in range(pixels.shape[2])]
    segments = [segment + b"\0" * (len(segment) % 2) for segment in segments]
    starts = np.cumsum([64, *map(len, segments)])[:-1]
    header = np.zeros(16, dtype="<u4")
    header[: len(starts) + 1] = [len(segments), *starts]
    return header.tobytes() + b"".join(segments)
