"""DICOM: one grey frame, or one RGB frame of 8 bits, uncompressed or as baseline JPEG."""

import io
import logging
from typing import Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import get_frame
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from config.failures import ImageUnusableError, Reason
from workers.inference.formats import jpeg
from workers.inference.formats.grayscale import display_table, stored_values
from workers.inference.formats.picture import Picture, check_size, ends_early

_PREAMBLE: Final = 128
_MAGIC: Final = b"DICM"
_GREY: Final = ("MONOCHROME1", "MONOCHROME2")
_COLOUR: Final = ("RGB",)
_INTERPRETATIONS: Final = (
    *(*_GREY, "RGB", "PALETTE COLOR", "HSV", "ARGB", "CMYK", "XYB", "YBR_FULL", "YBR_FULL_422"),
    *("YBR_PARTIAL_420", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT"),
)
"""Defined terms (PS3.3 C.7.6.3.1.2); another word may be a person's, and is not quoted."""

_JPEG_COLOUR: Final = ("RGB", "YBR_FULL_422")
"""A JPEG's decoder makes RGB of either."""
_UNCOMPRESSED: Final = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
_BYTE: Final = 8
_WORD: Final = 16

# pydicom's warnings and log lines quote what a file says, which may be a patient's name.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
logging.getLogger("pydicom").disabled = True


Words = NDArray[np.uint8 | np.uint16]
"""Stored values as the file has them: (rows, columns), or (rows, columns, 3) for colour."""


def matches(head: bytes) -> bool:
    """Return whether a file with this beginning is a DICOM file."""
    return head.startswith(_MAGIC, _PREAMBLE)


def decode(content: bytes, max_pixels: int) -> Picture:
    """Decode one frame as its display pipeline shows it; raises ImageUnusableError with the reason.

    Grey is 0 (black) to 255 (white), whichever of the two the file stores as 0; float32 unless each value is
    a whole number.
    """
    # pydicom inflates a deflated file without a limit, as soon as it has read its transfer syntax.
    if DeflatedExplicitVRLittleEndian.encode() in content:
        raise _unread("a deflated DICOM file")
    try:
        return _decode(content, max_pixels)
    except (ImageUnusableError, MemoryError):
        raise
    except Exception:  # noqa: BLE001  # damage makes pydicom raise anything; its texts quote the file
        raise ImageUnusableError(Reason.DAMAGED, "its DICOM header or pixels cannot be read") from None


def _decode(content: bytes, max_pixels: int) -> Picture:
    dataset = pydicom.dcmread(io.BytesIO(content))
    if "Rows" not in dataset or "Columns" not in dataset:
        raise ImageUnusableError(Reason.WRONG_FORMAT, "is a DICOM object without a picture")
    check_size(dataset.Columns, dataset.Rows, max_pixels)
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise _unread("a DICOM file of several frames")
    if "PixelData" not in dataset:
        # A cut within compressed pixels leaves the element out, and pydicom says nothing.
        raise ends_early(content)
    syntax = dataset.file_meta.TransferSyntaxUID
    photometric = str(dataset.PhotometricInterpretation)
    if syntax not in (JPEGBaseline8Bit, *_UNCOMPRESSED):
        name = "a syntax unknown to the standard" if syntax.name == str(syntax) else syntax.name
        raise _unread(f"a DICOM file whose pixels are compressed as {name}")
    as_jpeg = syntax == JPEGBaseline8Bit
    grey = int(dataset.SamplesPerPixel) == 1
    if photometric not in (_GREY if grey else _JPEG_COLOUR if as_jpeg else _COLOUR):
        known = photometric if photometric in _INTERPRETATIONS else "unknown to the standard"
        raise _unread(f"a DICOM file of photometric interpretation {known}")
    if as_jpeg:
        words = _from_jpeg(dataset, max_pixels)
    else:
        words = _uncompressed(dataset, content, little=syntax != ExplicitVRBigEndian)
    if grey:
        return _shown(dataset, words)
    if words.dtype != np.uint8:
        raise _unread("a DICOM file in colour of more than 8 bits")
    return Picture(words.astype(np.uint8, copy=False))


def _unread(what: str) -> ImageUnusableError:
    return ImageUnusableError(
        Reason.WRONG_FORMAT, f"is {what}, which is not read; convert it to uncompressed DICOM or PNG"
    )


def _from_jpeg(dataset: Dataset, max_pixels: int) -> Words:
    """Decode a frame of 8-bit JPEG, by the checks that a JPEG file has."""
    values = jpeg.decode(get_frame(dataset.PixelData, 0, number_of_frames=1), max_pixels).values
    if values.shape[:2] != (dataset.Rows, dataset.Columns):
        raise ImageUnusableError(Reason.DAMAGED, "its JPEG has another size than its DICOM header says")
    return values.astype(np.uint8, copy=False)


def _uncompressed(dataset: Dataset, content: bytes, *, little: bool) -> Words:
    """Return the frame's words, in the machine's byte order or not."""
    shape = (int(dataset.Rows), int(dataset.Columns))
    samples, allocated = int(dataset.SamplesPerPixel), int(dataset.BitsAllocated)
    if allocated not in {_BYTE, _WORD}:
        raise _unread(f"a DICOM file of {allocated} bits per sample")
    words = np.dtype("u1" if allocated == _BYTE else ("<u2" if little else ">u2"))
    count = shape[0] * shape[1] * samples
    if len(dataset.PixelData) < count * words.itemsize:
        raise ends_early(content)
    pixels = np.frombuffer(dataset.PixelData, words, count)
    if samples == 1:
        return pixels.reshape(shape)
    if int(dataset.PlanarConfiguration) == 1:
        return np.moveaxis(pixels.reshape(samples, *shape), 0, -1)
    return pixels.reshape(*shape, samples)


def _shown(dataset: Dataset, words: Words) -> Picture:
    """Take a grey frame through its display pipeline; padding is black, and counts for nothing."""
    bits, high = int(dataset.BitsStored), int(dataset.HighBit)
    patterns = (words >> (high + 1 - bits)) & (2**bits - 1)
    stored = stored_values(bits, signed=int(dataset.PixelRepresentation) == 1)
    padding = _padding(dataset, stored)

    def present() -> NDArray[np.bool_]:
        return (np.bincount(patterns.ravel(), minlength=stored.size) > 0) & ~padding

    table = display_table(dataset, stored, present)
    table[padding] = 0
    # Where nothing lies between two greys, the picture is that of an 8-bit PNG, and is resized as that is.
    if np.array_equal(table, table.round()):
        return Picture(np.asarray(np.take(table.astype(np.uint8), patterns), dtype=np.uint8))
    return Picture(np.asarray(np.take(table.astype(np.float32), patterns), dtype=np.float32))


def _padding(dataset: Dataset, stored: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which patterns are padding (PS3.3 C.7.5.1.1.2): one value, or all between two."""
    if "PixelPaddingValue" not in dataset:
        return np.zeros(stored.size, dtype=bool)
    first = int(dataset.PixelPaddingValue)
    last = int(dataset.get("PixelPaddingRangeLimit", first))
    return (stored >= min(first, last)) & (stored <= max(first, last))
