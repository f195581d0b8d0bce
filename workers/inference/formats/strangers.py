"""What a file is that is no supported picture, so that its failure can say what to do about it."""

import re
from typing import Final

_CONVERT: Final = "convert it to PNG"
_EXTRACT: Final = "unpack it, and name the folder of pictures"

_STRANGERS: Final = tuple(
    (re.compile(beginning, re.DOTALL), name, advice)
    for beginning, name, advice in (
        (rb"II\*\0|MM\0\*", "a TIFF picture", _CONVERT),
        (rb"RIFF.{4}WEBP", "a WebP picture", _CONVERT),
        (rb"GIF8[79]a", "a GIF picture", _CONVERT),
        (rb"BM.{4}\0{4}", "a BMP picture", _CONVERT),
        (rb"\0{3}\x0cjP {2}|\xff\x4f\xff\x51", "a JPEG 2000 picture", _CONVERT),
        (rb".{4}ftyp(heic|heix|mif1|avif)", "a HEIF picture", _CONVERT),
        (rb"\x89PNG\r?\n\x1a?\n", "a PNG that a transfer in text mode has changed", "copy it in binary mode"),
        (rb"\x93NUMPY", "a NumPy array", _CONVERT),
        (rb"\x89HDF\r\n\x1a\n", "an HDF5 file", _CONVERT),
        (rb"%PDF-", "a PDF document", "extract its picture"),
        (rb"PK\x03\x04", "a ZIP archive", _EXTRACT),
        (rb"\x1f\x8b", "a gzip file", _EXTRACT),
        (rb".{257}ustar", "a tar archive", _EXTRACT),
        (rb"version https://git-lfs", "a Git LFS pointer", "fetch the picture itself: git lfs pull"),
        (
            rb"(?i)(\xef\xbb\xbf)?\s*<(!doctype html|html|\?xml)",
            "a web page or XML",
            "download the picture again: a server sent something in its place",
        ),
    )
)
"""Kinds that stand in the pictures' place in real archives: beginning, name, and what to do."""

HEAD: Final = 512
"""The number of bytes by which each of them can be recognised."""


def describe(head: bytes) -> str | None:
    """Return what a file is and what to do about it, by its first HEAD bytes; None where that is unknown."""
    return next(
        (f"is {name}; {advice}" for begins, name, advice in _STRANGERS if begins.match(head)),
        None,
    )
