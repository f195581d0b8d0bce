"""A DICOM file's header, and the bytes of its pixels: read without trusting a length, and bounded."""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian

from config.dicom import silence_pydicom
from config.failures import ImageUnusableError, Reason
from workers.inference.formats.dicom.frame import BYTE, damaged, unread
from workers.inference.formats.picture import MOST_PARTS, ends_early

silence_pydicom()

_META: Final = 132
"""Bytes before the file's meta information: a preamble and a magic word."""

_META_GROUP: Final = 0x0002
_PIXELS: Final = 0x7FE00010
_ITEM: Final = 0xFFFEE000
_DELIMITER: Final = 0xFFFEE0DD
_UNDEFINED: Final = 0xFFFFFFFF
_LONG_ELEMENT: Final = 12
"""Bytes before the value of an element of explicit VR whose value may be long."""

_INFLATED_PER_PIXEL: Final = 8
"""Bytes that a deflated file may have per pixel of the limit: as many as any file may have."""


class _Stream(io.BytesIO):
    """A file in memory that bounds how many parts are read of it, and notices where one is cut."""

    reads = 0
    cut = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > MOST_PARTS:
            raise ImageUnusableError(Reason.TOO_LARGE, "its header has too many elements")
        found = super().read(size)
        self.cut = self.cut or (size is not None and 0 < len(found) < size)
        return found


@dataclass(frozen=True, slots=True)
class Header:
    """All elements before the pixels, the transfer syntax, and the file, inflated and at its pixels."""

    dataset: Dataset
    syntax: UID
    _file: _Stream

    def frames(self, count: int) -> list[bytes]:
        """Return the pixels of each frame as they are stored; the fragments of a compressed one as one.

        Raises ImageUnusableError where the file ends before they do, and where frames cannot be told apart.
        """
        content, position = self._file.getvalue(), self._file.tell()
        implicit, little = self.dataset.original_encoding
        order = "<" if little else ">"
        if len(content) < position + _LONG_ELEMENT:
            raise ends_early(content)
        group, element, kind, length = struct.unpack_from(f"{order}HH2s2xI", content, position)
        start = position + _LONG_ELEMENT
        if implicit:
            (length,) = struct.unpack_from("<I", content, position + 4)
            start = position + 8
        if group << 16 | element != _PIXELS:
            raise unread("a DICOM file whose pixels are no whole numbers")
        if self.syntax.is_encapsulated != (length == _UNDEFINED):
            raise damaged("its pixels are stored in another way than its transfer syntax says")
        if self.syntax.is_encapsulated:
            table, *fragments = _items(content, start)
            return _told_apart(table, fragments, count)
        if start + length > len(content):
            raise ends_early(content)
        pixels = content[start : start + length]
        if not little and kind == b"OW" and self.dataset.BitsAllocated == BYTE:
            pixels = bytes(np.frombuffer(pixels, "u2").byteswap())
        # One frame may have a byte at its end that fills a word.
        size = len(pixels) // count
        return [pixels[size * place : size * (place + 1)] for place in range(count)]


def read_header(content: bytes, max_pixels: int) -> Header:
    """Read a file up to its pixels; raises ImageUnusableError, or any exception for a damaged header."""
    content = _inflated(content, max_pixels)
    file = _Stream(content)
    dataset = pydicom.dcmread(file, stop_before_pixels=True)
    if file.cut:
        raise ends_early(content)
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        # pydicom has found out how the elements are written; without a word they are not compressed.
        syntax = ExplicitVRLittleEndian if dataset.original_encoding[1] else ExplicitVRBigEndian
    return Header(dataset, syntax, file)


def _inflated(content: bytes, max_pixels: int) -> bytes:
    """Return a deflated file as one that is not, any other as it is; pydicom inflates without a limit."""
    stream = _Stream(content)
    stream.seek(_META)
    meta = read_dataset(
        stream,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: BaseTag(tag).group != _META_GROUP,
    )
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return content
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    limit = max_pixels * _INFLATED_PER_PIXEL
    inflated = inflater.decompress(content[stream.tell() :], limit)
    if inflater.unconsumed_tail:
        raise ImageUnusableError(Reason.TOO_LARGE, f"it inflates to more than {limit:,} bytes")
    if not inflater.eof:
        raise ends_early(content)
    syntax = ExplicitVRLittleEndian.encode() + b"\0"
    element = struct.pack("<HH2sH", _META_GROUP, 0x0010, b"UI", len(syntax)) + syntax
    return content[:_META] + element + inflated


def _told_apart(table: bytes, fragments: list[bytes], count: int) -> list[bytes]:
    """Return the frames that fragments are parts of: a fragment each, or as the offset table says."""
    if count == 1:
        return [b"".join(fragments)]
    if len(fragments) == count:
        return fragments
    begins = np.frombuffer(table[: len(table) // 4 * 4], "<u4")
    places = np.cumsum([0, *(8 + len(fragment) for fragment in fragments)])
    found = np.searchsorted(places, begins)
    if len(begins) != count or not np.array_equal(places[found.clip(max=len(fragments))], begins):
        raise damaged(f"its {len(fragments):,} compressed fragments are not those of {count:,} frames")
    return [b"".join(fragments[first:last]) for first, last in pairwise([*found, len(fragments)])]


def _items(content: bytes, position: int) -> Iterator[bytes]:
    """Yield the items of encapsulated pixels (PS3.5 A.4): the offset table, then the fragments.

    The table says where frames begin, where one has several fragments.
    """
    for _ in range(MOST_PARTS):
        if position + 8 > len(content):
            raise ends_early(content)
        group, element, length = struct.unpack_from("<HHI", content, position)
        if group << 16 | element == _DELIMITER:
            return
        if group << 16 | element != _ITEM:
            raise damaged("its compressed pixels are not in fragments as they must be")
        if position + 8 + length > len(content):
            raise ends_early(content)
        yield content[position + 8 : position + 8 + length]
        position += 8 + length
    raise ImageUnusableError(Reason.TOO_LARGE, f"it has more than {MOST_PARTS:,} fragments")
