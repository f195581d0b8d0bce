"""JPEG: checked to be whole before it is decoded, as libjpeg makes up what is missing."""

import re
from collections.abc import Iterator
from itertools import product
from typing import Final

from config.failures import ImageUnusableError, Reason
from config.films import Recipe
from workers.inference.formats.orientation import upright
from workers.inference.formats.picture import MOST_PARTS, Picture, ends_early
from workers.inference.formats.raster import decode_raster

_SIGNATURE: Final = b"\xff\xd8"
_MARKER: Final = re.compile(rb"\xff{1,16}([\x01-\xfe])")
_SCAN_END: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # FF 00 and FF D0-D7 are parts of a scan
_ALONE: Final = b"\x01\xd0\xd1\xd2\xd3\xd4\xd5\xd6\xd7\xd8"  # markers without a segment
REMARKS: Final = b"\xe1\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xeb\xec\xed\xef\xfe"  # not JFIF, not Adobe
FRAMES: Final = b"\xc0\xc1\xc2\xc3\xc5\xc6\xc7\xc9\xca\xcb\xcd\xce\xcf"
_COSINES: Final = b"\xc0\xc1\xc2\xc9\xca"  # frames of 64 coefficients, which lossless ones have not
_SEQUENTIAL: Final = b"\xc0\xc1"  # and Huffman codes
_APPLICATION: Final = 0xE1
_EXIF: Final = (b"Exif\0\0II*\0", b"Exif\0\0MM\0*")
_SCAN: Final = 0xDA
_END: Final = 0xD9
_EXTENDED_BITS: Final = 12  # per sample, where baseline has 8
BASELINE_BITS: Final = 8
_MAX_SCANS: Final = 32  # encoders write 1 to 12; one of 20 bytes costs a walk through the whole picture
_NO_CODE: Final = b"\xff\x00" * 8  # 64 bits of 1 to look ahead at; no Huffman code has only such bits


def matches(head: bytes) -> bool:
    """Return whether a file with this beginning is a JPEG."""
    return head.startswith(_SIGNATURE)


def decode(content: bytes, max_pixels: int, _recipe: Recipe = "window") -> Picture:
    """Decode a JPEG of 8 bits per sample; raises ImageUnusableError where it is damaged or cut."""
    whole, exif = _checked(content)
    return upright(decode_raster(whole, "JPEG", max_pixels), exif)


def _checked(content: bytes) -> tuple[bytes, bytes]:
    """Check that a JPEG is complete; returns the parts its pixels need, to notice a cut scan, and its Exif.

    Where a scan's data end early, libjpeg makes up the rest, and Pillow hides the warning. Without the end's
    marker libjpeg asks for more data instead, and Pillow raises an error.
    """
    frame, wanted, exact = 0, set[tuple[int, int]](), set[tuple[int, int]]()
    scans, kept, exif = 0, [_SIGNATURE], b""
    for kind, segment in segments(content):
        if kind not in REMARKS:  # Pillow takes a minute for 100 MB of them
            kept.append(segment)
        if kind == _APPLICATION and not exif and segment.startswith(_EXIF, 4):
            exif = segment[4:]
        if kind in FRAMES:
            frame = kind
            if segment[4] == _EXTENDED_BITS:
                raise ImageUnusableError(
                    Reason.WRONG_FORMAT, "is a JPEG of 12 bits per sample; those of 8 are read"
                )
            wanted.update(product(segment[10::3], range(64)))
        elif kind == _SCAN:
            scans += 1
            exact.update(_made_exact(segment[4:]))
        if scans > _MAX_SCANS:
            raise ImageUnusableError(Reason.TOO_LARGE, f"it has more than {_MAX_SCANS} scans")
    if frame in _COSINES and not wanted <= exact:
        raise ImageUnusableError(Reason.TRUNCATED, "scans that its picture is made of are not there")
    end = _NO_CODE if frame in _SEQUENTIAL and scans == 1 else b"\xff\xd9"
    return b"".join([*kept, end]), exif


def segments(content: bytes, scan_end: re.Pattern[bytes] = _SCAN_END) -> Iterator[tuple[int, bytes]]:
    """Yield the marker's number and the bytes of a JPEG's segments, a scan's with the data that follow it.

    Raises ImageUnusableError where the end's marker is missing, or something else is in a segment's place.
    """
    position = len(_SIGNATURE)
    for _ in range(MOST_PARTS):
        marker = _MARKER.match(content, position)
        if marker is None and len(content) - position > 1:
            raise ImageUnusableError(
                Reason.DAMAGED, f"no part of it begins at byte {position:,}, where one must"
            )
        if marker is None:
            break
        kind, position = marker[1][0], marker.end()
        if kind == _END:
            return
        if kind in _ALONE:
            continue
        length = int.from_bytes(content[position : position + 2])  # itself included
        start, position = position - 2, position + max(2, length)
        if kind == _SCAN:
            behind = scan_end.search(content, position)
            position = len(content) if behind is None else behind.start()
        if position >= len(content):
            break
        yield kind, content[start:position]
    else:
        raise ImageUnusableError(Reason.TOO_LARGE, f"it has more than {MOST_PARTS:,} segments")
    raise ends_early(content)


def _made_exact(scan: bytes) -> Iterator[tuple[int, int]]:
    """Return component and number of the coefficients whose last bit is in a scan."""
    components = 1 + 2 * scan[0]
    first, last, approximation = scan[components : components + 3]
    if approximation & 15 == 0:
        yield from product(scan[1:components:2], range(first, last + 1))
