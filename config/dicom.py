"""pydicom, kept from saying what a file says; and the films that Nightread makes itself."""

import hashlib
import io
import logging
import warnings
from typing import Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

SPACINGS: Final = ("PixelSpacing", "ImagerPixelSpacing")
"""Where a file has the distance of its pixels: in the patient, if calibrated, before that on the detector."""


def silence_pydicom() -> None:
    """Switch off the warnings and log lines of pydicom: they quote values, which may be a patient's name."""
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logging.getLogger("pydicom").disabled = True
    warnings.filterwarnings("ignore", module=r"pydicom\.")


def make_film(words: NDArray[np.uint8 | np.uint16], **attributes: object) -> bytes:
    """Return an uncompressed CR file of a grey picture, (rows, columns), of which all bits are used.

    `attributes`: by their keywords, more of them or in place of those that follow from the words. UIDs that
    are not given follow from the content, so that the same film has the same bytes.
    """
    bits = 8 * words.itemsize
    content = words.astype(words.dtype.newbyteorder("<"), copy=False).tobytes()
    digest = hashlib.sha256(content + repr(attributes).encode()).digest()
    facts: dict[str, object] = {
        "SOPClassUID": ComputedRadiographyImageStorage,
        "SOPInstanceUID": f"2.25.{int.from_bytes(digest[:16])}",
        "Modality": "CR",
        "Rows": words.shape[0],
        "Columns": words.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
    }
    dataset = Dataset()
    for keyword, value in (facts | attributes).items():
        setattr(dataset, keyword, value)
    dataset.add_new("PixelData", "OB" if words.itemsize == 1 else "OW", content + b"\0" * (len(content) % 2))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
