"""How many bits an archive's 16-bit pictures use, found out from a few before a run is written."""

import io
import struct
import warnings
from collections.abc import Sequence
from typing import Final

from config.failures import ImageUnusableError
from jobs.sources.source import ImageSource

SAMPLE: Final = 24
"""Pictures that are looked at, evenly spread over the manifest."""

_BYTES_PER_PIXEL: Final = 8
_DEPTHS: Final = (8, 10, 12, 14, 15, 16)
"""Bits that devices and programs write; 15 where a value's sign took one."""

VOLUMES: Final = (".nii", ".nii.gz")
"""Endings of volumes; like DICOM files they say it in their headers, and are large."""

_SAY_IT: Final = (*VOLUMES, ".dcm")

_HEADER: Final = struct.Struct(">8x8xIIBB")  # of a PNG: width, height, depth and colour type
_DEEP_GREY: Final = (16, 0)


def measured_bits(source: ImageSource, names: Sequence[str], max_pixels: int) -> int | None:
    """Return the bits that a sample's 16-bit grey PNGs use, by the largest value in all of them.

    None where there are none, or where one uses all 16: then each picture is judged by itself. Passed over
    are pictures of more than `max_pixels`, unreadable ones, and those that say it themselves (sBIT).
    """
    pictures = [name for name in names if not name.lower().endswith(_SAY_IT)]
    largest = [
        value
        for name in pictures[:: -(-len(pictures) // SAMPLE) or 1]
        if (value := _largest(source, name, max_pixels)) is not None
    ]
    used = max(largest, default=0).bit_length()
    bits = next(depth for depth in _DEPTHS if depth >= used)
    return bits if used and bits < max(_DEPTHS) else None


def bits_remark(bits: int) -> str:
    """Say what was measured, and what follows from it."""
    return (
        f"16-bit pictures use {bits} bits in a sample: {2**bits - 1:,} is taken as white in all of them "
        "(--bits says otherwise)"
    )


def _largest(source: ImageSource, name: str, max_pixels: int) -> int | None:
    """Return the largest value of a picture, None where it is no 16-bit grey PNG or says its bits."""
    try:
        content = source.read(name, max_pixels * _BYTES_PER_PIXEL).data
    except ImageUnusableError:
        return None
    if not content.startswith(b"\x89PNG\r\n\x1a\n") or len(content) < _HEADER.size:
        return None
    width, height, *kind = _HEADER.unpack_from(content)
    says_it = b"sBIT" in content[: content.find(b"IDAT")]
    if tuple(kind) != _DEEP_GREY or width * height > max_pixels or says_it:
        return None
    # Pillow takes a tenth of a second to import, which other archives need not pay.
    from PIL import Image  # noqa: PLC0415

    try:
        with warnings.catch_warnings(action="ignore"):
            _, highest = Image.open(io.BytesIO(content), formats=("PNG",)).getextrema()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None  # the worker says what is wrong with it
    return int(highest) if isinstance(highest, int | float) else None
