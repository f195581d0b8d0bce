"""What the tests of formats share: a small picture, its PNG and JPEG, and a PNG made chunk by chunk."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from config.failures import ImageUnusableError
from workers.inference.formats.decode import decode
from workers.inference.formats.picture import Values

LIMIT = 1_000_000
SIGNATURE = b"\x89PNG\r\n\x1a\n"

# A slope with a step: no two rows or columns are alike, so that a turned or shifted picture is seen.
GREY = (np.add.outer(np.arange(13) * 3, np.arange(17) * 11) + 40 * (np.arange(17) > 8)).astype(np.uint8)
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def png(width: int, height: int, pixels: bytes, *, depth: int = 8, interlaced: bool = False) -> bytes:
    """Build a grey PNG chunk by chunk, so that each of them can be made wrong."""
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, int(interlaced))
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


PLAIN = saved(Image.fromarray(GREY), "PNG")
JPEG = saved(Image.fromarray(GREY), "JPEG", quality=95)


def values(content: bytes) -> Values:
    return decode(content, LIMIT).values


def reason_of(content: bytes, limit: int = LIMIT) -> str:
    with pytest.raises(ImageUnusableError) as caught:
        decode(content, limit)
    assert caught.value.message
    return caught.value.reason
