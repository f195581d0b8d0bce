"""PNG: every chunk's checksum and the rows' own are checked; the rows are inflated here, not by a decoder."""

import struct
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from isal import isal_zlib
from kornia_rs.io import decode_image_png_u8
from numpy.typing import NDArray

from config.failures import ImageUnusableError, Reason
from config.films import Recipe
from workers.inference.formats.depth import as_said
from workers.inference.formats.orientation import upright
from workers.inference.formats.picture import MOST_PARTS, Picture, check_size, ends_early
from workers.inference.formats.raster import decode_raster

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CHUNK_FRAME: Final = 12  # length, type and checksum around a PNG chunk's data
_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by the colour type
_PALETTE: Final = 3  # the colour type
_DEEP: Final = 16  # bits per sample
_KIND: Final = slice(24, 29)  # of a file that begins with its header: depth, colour type and three more
_STORED: Final = 0xFFFF  # bytes of a block that is not compressed, at most
_QUICK: Final = {  # what kornia-rs calls the headers behind width and height that it reads
    b"\x08\x00\0\0\0": "mono",
    b"\x08\x02\0\0\0": "rgb",
    b"\x08\x06\0\0\0": "rgba",
}
_PASSES: Final = (  # left, top, step to the right and step down of each of the seven when interlaced
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
)  # fmt: skip


_Chunk = tuple[bytes, int, int]
"""A chunk's type, and the start and end of its data."""


def matches(head: bytes) -> bool:
    """Return whether a file with this beginning is a PNG; so is one that is cut within its signature."""
    return _SIGNATURE.startswith(head[: len(_SIGNATURE)])


def decode(content: bytes, max_pixels: int, _recipe: Recipe = "window") -> Picture:
    """Decode a PNG of any depth and colour type; raises ImageUnusableError where it is damaged."""
    chunks = _chunks(content)
    pixels = _checked(content, chunks, max_pixels)
    kind = _QUICK.get(pixels[_KIND])
    picture = decode_raster(pixels, "PNG", max_pixels) if kind is None else Picture(_quickly(pixels, kind))
    if pixels[_KIND][0] == _DEEP:
        picture = as_said(Picture(picture.values, deep=True), _first(b"sBIT", content, chunks))
    return upright(picture, _first(b"eXIf", content, chunks))


def _checked(content: bytes, chunks: Sequence[_Chunk], max_pixels: int) -> bytes:
    """Check a PNG, and return one with the same pixels: header, palette, and rows that are not compressed.

    Decoders stop inflating where the last row is full or the stream ends, and may never see the checksum:
    they accept a picture with lost, repeated or misplaced chunks. So the rows are inflated here. No decoder
    sees anything else that the file holds.
    """
    kinds = [kind for kind, _, _ in chunks]
    header = content[chunks[0][1] : chunks[0][2]]
    if kinds[0] != b"IHDR" or kinds.count(b"IHDR") > 1 or b"IDAT" not in kinds:
        raise ImageUnusableError(Reason.DAMAGED, "it has not the one header and the pixels that a PNG has")
    first, count = kinds.index(b"IDAT"), kinds.count(b"IDAT")
    if kinds[first : first + count] != [b"IDAT"] * count:
        raise ImageUnusableError(Reason.DAMAGED, "another chunk is between those of its pixels")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    kept = [*_framed(b"IHDR", header)]
    if colour == _PALETTE:
        if b"PLTE" not in kinds[:first]:
            raise ImageUnusableError(Reason.DAMAGED, "its palette is not there")
        _, start, end = chunks[kinds.index(b"PLTE")]
        kept += _framed(b"PLTE", content[start:end])
    check_size(width, height, max_pixels)
    wanted = _bytes_of_rows(width, height, depth * _SAMPLES.get(colour, 1), interlaced=interlaced > 0)
    view = memoryview(content)
    packed = b"".join([view[start:end] for _, start, end in chunks[first : first + count]])
    rows = _stored(_inflated(packed, wanted))
    return b"".join([_SIGNATURE, *kept, *_framed(b"IDAT", *rows), *_framed(b"IEND")])


def _framed(kind: bytes, *data: bytes | memoryview) -> list[bytes | memoryview]:
    """Frame a PNG chunk made of some parts."""
    checksum = isal_zlib.crc32(kind)
    for part in data:
        checksum = isal_zlib.crc32(part, checksum)
    return [struct.pack(">I4s", sum(map(len, data)), kind), *data, struct.pack(">I", checksum)]


def _stored(rows: bytes) -> list[bytes | memoryview]:
    """Return the parts of a zlib stream (RFC 1950, 1951) of blocks that are not compressed."""
    view = memoryview(rows)
    stream: list[bytes | memoryview] = [b"\x78\x01"]
    for start in range(0, len(rows), _STORED):
        block = view[start : start + _STORED]
        last = start + _STORED >= len(rows)
        stream += [struct.pack("<BHH", last, len(block), len(block) ^ _STORED), block]
    return [*stream, struct.pack(">I", isal_zlib.adler32(rows))]


def _quickly(png: bytes, kind: str) -> NDArray[np.uint8]:
    """Undo the filters of a checked PNG, twice as fast as Pillow; grey or RGB."""
    width, height = struct.unpack_from(">II", png, 16)
    values: NDArray[np.uint8] = decode_image_png_u8(png, (height, width), kind)
    if kind == "mono":
        return values[..., 0]
    # NumPy takes forty times as long to copy three of four channels.
    return values if kind == "rgb" else np.asarray(cv2.cvtColor(values, cv2.COLOR_RGBA2RGB), dtype=np.uint8)


def _first(kind: bytes, content: bytes, chunks: Sequence[_Chunk]) -> bytes:
    """Return the data of the first chunk of a kind, blank where there is none."""
    return next((content[start:end] for name, start, end in chunks if name == kind), b"")


def _chunks(content: bytes) -> list[_Chunk]:
    """Yield type, start and end of the data of a PNG's chunks up to its last; check each CRC-32."""
    position = len(_SIGNATURE)
    view = memoryview(content)
    chunks = []
    while position + _CHUNK_FRAME <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        end = position + 8 + length
        if end + 4 > len(content):
            break
        if isal_zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", content, end)[0]:
            name = kind.decode("latin-1")
            raise ImageUnusableError(Reason.DAMAGED, f"the checksum of its {name!r} chunk is wrong")
        chunks.append((kind, position + 8, end))
        if kind == b"IEND":
            return chunks
        if len(chunks) == MOST_PARTS:
            raise ImageUnusableError(Reason.TOO_LARGE, f"it has more than {MOST_PARTS:,} chunks")
        position = end + 4
    raise ends_early(content)


def _bytes_of_rows(width: int, height: int, bits: int, *, interlaced: bool) -> int:
    """Return the size of a PNG's inflated rows, each with a byte for its filter in front."""
    total = 0
    for left, top, right, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = len(range(left, width, right)), len(range(top, height, down))
        total += rows * (1 + (columns * bits + 7) // 8) if columns else 0
    return total


def _inflated(packed: bytes, wanted: int) -> bytes:
    """Inflate a PNG's rows, not more than `wanted` bytes whatever they claim to be; check the Adler-32."""
    inflater = isal_zlib.decompressobj()
    rows = inflater.decompress(packed, wanted + 1)
    if len(rows) > wanted:
        raise ImageUnusableError(Reason.DAMAGED, "it has more pixels than its header says")
    if len(rows) < wanted or not inflater.eof:
        raise ImageUnusableError(Reason.TRUNCATED, "it has fewer pixels than its header says")
    return rows
