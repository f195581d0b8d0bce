"""What a DICOM header says of its frames: all that a codec, and the way to a picture, need of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from config.failures import ImageUnusableError, Reason
from workers.inference.formats.picture import check_size

Words = NDArray[np.uint8 | np.uint16]
"""Stored values as the file has them: (rows, columns), or (rows, columns, 3) for colour."""

BYTE: Final = 8
WORD: Final = 16
_GREY: Final = ("MONOCHROME1", "MONOCHROME2")
_INTERPRETATIONS: Final = (
    *(*_GREY, "RGB", "PALETTE COLOR", "HSV", "ARGB", "CMYK", "XYB", "YBR_FULL", "YBR_FULL_422"),
    *("YBR_PARTIAL_420", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT"),
)
"""Defined terms (PS3.3 C.7.6.3.1.2); another word may be a person's, and is not quoted."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame's shape and the meaning of its words (PS3.3 C.7.6.3)."""

    rows: int
    columns: int
    samples: int
    allocated: int
    """Bits of a word: 8 or 16."""
    stored: int
    """Bits of a word that are a value, `high` being the highest of them."""
    high: int
    signed: bool
    photometric: str
    by_plane: bool
    """Whether colour is stored plane by plane."""

    @property
    def grey(self) -> bool:
        """Whether it has one sample per pixel."""
        return self.samples == 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its words."""
        return (self.rows, self.columns) if self.grey else (self.rows, self.columns, self.samples)

    def patterns(self, words: Words) -> NDArray[np.int64]:
        """Return the bits that are the value of each word that there can be, so that no pixel is shifted."""
        every: NDArray[np.int64] = np.arange(np.iinfo(words.dtype).max + 1)
        return np.asarray((every >> (self.high + 1 - self.stored)) & (2**self.stored - 1))


class Codec(Protocol):
    """How a transfer syntax stores a frame: a module with this function."""

    COLOURS: tuple[str, ...]
    """The photometric interpretations of colour of which it makes RGB."""

    def decode(self, stored: bytes, frame: Frame, max_pixels: int) -> Words:
        """Return a frame's words in its shape; raises any exception where it cannot be decoded."""


def number_of_frames(dataset: Dataset) -> int:
    """Return how many frames a file has, all of one shape."""
    return int(dataset.get("NumberOfFrames") or 1)


def read_frame(dataset: Dataset, max_pixels: int) -> Frame:
    """Return what a header says of its frames; ImageUnusableError where that is impossible or not read."""
    if "Rows" not in dataset or "Columns" not in dataset:
        raise ImageUnusableError(Reason.WRONG_FORMAT, "is a DICOM object without a picture")
    check_size(dataset.Columns, dataset.Rows, max_pixels)
    frame = Frame(
        int(dataset.Rows),
        int(dataset.Columns),
        int(dataset.get("SamplesPerPixel", 1)),
        int(dataset.BitsAllocated),
        int(dataset.BitsStored),
        int(dataset.get("HighBit", dataset.BitsStored - 1)),
        signed=int(dataset.get("PixelRepresentation", 0)) == 1,
        photometric=str(dataset.PhotometricInterpretation),
        by_plane=int(dataset.get("PlanarConfiguration", 0)) == 1,
    )
    if frame.allocated not in {BYTE, WORD}:
        raise unread(f"a DICOM file of {frame.allocated} bits per sample")
    if not 0 < frame.stored <= frame.high + 1 <= frame.allocated or 0 in {frame.rows, frame.columns}:
        raise damaged("its header says of its pixels what is impossible")
    return frame


def require_colours(frame: Frame, codec: Codec) -> None:
    """Raise ImageUnusableError for a photometric interpretation that nothing here makes grey or RGB of."""
    if frame.photometric not in (_GREY if frame.grey else codec.COLOURS):
        known = frame.photometric if frame.photometric in _INTERPRETATIONS else "unknown to the standard"
        raise unread(f"a DICOM file of photometric interpretation {known}")
    if not frame.grey and frame.allocated != BYTE:
        raise unread("a DICOM file in colour of more than 8 bits")


def require_same_size(frame: Frame, rows: int, columns: int, samples: int) -> None:
    """Raise ImageUnusableError for a compressed frame of another size than its DICOM header says."""
    if (rows, columns, samples) != (frame.rows, frame.columns, frame.samples):
        raise damaged("its compressed picture has another size than its DICOM header says")


@contextmanager
def damage_told() -> Iterator[None]:
    """Make of any other exception ImageUnusableError: damage makes parsers raise anything."""
    try:
        yield
    except (ImageUnusableError, MemoryError):
        raise
    except Exception:  # noqa: BLE001  # pydicom's texts quote the file
        raise damaged("its DICOM header or pixels cannot be read") from None


def unread(what: str) -> ImageUnusableError:
    """Make the error of a file of a kind that is not read."""
    return ImageUnusableError(
        Reason.WRONG_FORMAT, f"is {what}, which is not read; convert it to uncompressed DICOM or PNG"
    )


def damaged(message: str) -> ImageUnusableError:
    """Make the error of a file that contradicts itself."""
    return ImageUnusableError(Reason.DAMAGED, message)


def cut_frame() -> ImageUnusableError:
    """Make the error of a frame that ends before its last pixel."""
    return ImageUnusableError(Reason.TRUNCATED, "its pixels end before the picture does")
