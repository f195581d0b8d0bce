"""The transfer syntaxes that are read, each with the module that decodes it; loaded when a film has one."""

from collections.abc import Iterator
from importlib import import_module
from typing import Final, cast

import numpy as np
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from workers.inference.formats.dicom.frame import (
    Codec,
    Frame,
    Words,
    damaged,
    require_colours,
    unread,
)
from workers.inference.formats.dicom.header import Header

CODECS: Final[dict[UID, str]] = {
    ImplicitVRLittleEndian: "raw",
    ExplicitVRLittleEndian: "raw",
    ExplicitVRBigEndian: "raw_big_endian",
    DeflatedExplicitVRLittleEndian: "raw",
    RLELossless: "rle",
    JPEGBaseline8Bit: "jpeg_lossy",
    JPEGExtended12Bit: "jpeg_lossy",
    JPEGLossless: "jpeg_lossless",
    JPEGLosslessSV1: "jpeg_lossless",
    JPEGLSLossless: "jpeg_ls",
    JPEGLSNearLossless: "jpeg_ls",
    JPEG2000Lossless: "jpeg_2000",
    JPEG2000: "jpeg_2000",
    HTJ2KLossless: "jpeg_2000",
    HTJ2KLosslessRPCL: "jpeg_2000",
    HTJ2K: "jpeg_2000",
}
"""The module of this package for each transfer syntax (PS3.5 annex A)."""


def find_codec(syntax: UID) -> Codec:
    """Return what decodes a transfer syntax; ImageUnusableError names one that is not read."""
    if syntax not in CODECS:
        # What is no transfer syntax of the standard may be any text, a name as well.
        known = (
            syntax.name
            if syntax.is_transfer_syntax and not syntax.is_private
            else "the standard does not say"
        )
        raise unread(f"a DICOM file whose pixels are compressed as {known}")
    return cast("Codec", import_module(f"{__package__}.{CODECS[syntax]}"))


def decode_frames(header: Header, frame: Frame, count: int, max_pixels: int) -> Iterator[Words]:
    """Decode a file's frames; raises ImageUnusableError, or any exception for a damaged one."""
    codec = find_codec(header.syntax)
    require_colours(frame, codec)
    for stored in header.frames(count):
        words = codec.decode(stored, frame, max_pixels)
        if words.shape != frame.shape or (not frame.grey and words.dtype != np.uint8):
            raise damaged("its pixels are not those that its header says")
        yield words
