"""From a name in the manifest to a decoded picture: confined to the images' root, bounded, and undamaged."""

import errno
import io
import os
import re
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
from isal import isal_zlib
from kornia_rs.io import decode_image_png_u8
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE: Final = b"\xff\xd8"
_CHUNK_FRAME: Final = 12  # length, type and checksum around a PNG chunk's data
_BYTES_A_PIXEL: Final = 8  # of the largest picture that a file may hold uncompressed: 16-bit RGBA
_MAX_PARTS: Final = 1 << 18  # chunks or segments: Pillow takes microseconds for each, however empty it is

_PNG_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by the colour type
_PNG_PALETTE: Final = 3  # the colour type
_PNG_KIND: Final = slice(24, 29)  # of a file that begins with its header: depth, colour type and three more
_PNG_STORED: Final = 0xFFFF  # bytes of a block that is not compressed, at most
_PNG_QUICK: Final = {  # what kornia-rs calls the headers behind width and height that it reads
    b"\x08\x00\0\0\0": "mono",
    b"\x08\x02\0\0\0": "rgb",
    b"\x08\x06\0\0\0": "rgba",
}
_PNG_PASSES: Final = (  # left, top, step to the right and step down of each of the seven when interlaced
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
)  # fmt: skip

_JPEG_MARKER: Final = re.compile(rb"\xff{1,16}([\x01-\xfe])")
_JPEG_SCAN_END: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # FF 00 and FF D0-D7 are parts of a scan
_JPEG_ALONE: Final = b"\x01\xd0\xd1\xd2\xd3\xd4\xd5\xd6\xd7\xd8"  # markers without a segment
_JPEG_REMARKS: Final = b"\xe1\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xeb\xec\xed\xef\xfe"  # not JFIF, not Adobe
_JPEG_FRAMES: Final = b"\xc0\xc1\xc2\xc3\xc5\xc6\xc7\xc9\xca\xcb\xcd\xce\xcf"
_JPEG_COSINES: Final = b"\xc0\xc1\xc2\xc9\xca"  # frames of 64 coefficients, which lossless ones have not
_JPEG_SEQUENTIAL: Final = b"\xc0\xc1"  # and Huffman codes
_JPEG_SCAN: Final = 0xDA
_JPEG_END: Final = 0xD9
_JPEG_MAX_SCANS: Final = 32  # encoders write 1 to 12; one of 20 bytes costs a walk through the whole picture
_JPEG_NO_CODE: Final = b"\xff\x00" * 8  # 64 bits of 1 to look ahead at; no Huffman code has only such bits

# Pillow only warns about a large picture, in a process-wide way that threads cannot catch. The cap of
# decode() stands in its place, on the header's numbers and before a pixel is decoded.
Image.MAX_IMAGE_PIXELS = None


class ImageUnusableError(Exception):
    """An image that cannot be scored, now or later: `reason` is one of the fixed list in docs/failures.md."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep the reason beside the message."""
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded radiograph: grey (height, width) or RGB (height, width, 3), values 0-255.

    8-bit pictures are uint8. 16-bit grey is float32, scaled so that 65,535 is 255.
    """

    values: NDArray[np.uint8] | NDArray[np.float32]

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.values.shape[0])

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self.values.shape[1])


def read_picture(root: Path, image_index: str, max_pixels: int) -> Picture:
    """Read one image below `root`; raises ImageUnusableError with the reason."""
    return decode(read_file(root, image_index, max_pixels * _BYTES_A_PIXEL), max_pixels)


def read_file(root: Path, image_index: str, max_bytes: int) -> bytes:
    """Read the bytes of one file that really lies below `root`.

    Symbolic links are followed within the root and refused where they leave it. What was opened is checked
    once more, so that a link that is swapped after the first look opens nothing else.
    """
    root = Path(os.path.realpath(root))
    descriptor = _open_below(root, image_index)
    try:
        opened = Path(f"/proc/self/fd/{descriptor}")
        if opened.parent.is_dir() and not Path(os.path.realpath(opened)).is_relative_to(root):
            raise _outside()
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ImageUnusableError("not_a_file", "is a folder or a device, not a file")
        if status.st_size == 0:
            raise ImageUnusableError("empty", "the file has 0 bytes")
        if status.st_size > max_bytes:
            raise ImageUnusableError("too_large", f"the file has {status.st_size:,} bytes")
        # Only now: fdopen refuses a folder with an error of its own.
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(status.st_size)  # not more, should it grow
    except OSError as error:
        raise ImageUnusableError("unreadable", f"cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)


def _open_below(root: Path, image_index: str) -> int:
    """Open what a name means below `root`; gives the descriptor."""
    try:
        path = Path(os.path.realpath(root / image_index))
        if path.is_relative_to(root):
            # O_NONBLOCK: opening a named pipe must not wait for a writer.
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except ValueError:  # a NUL or half of a surrogate pair
        raise ImageUnusableError("missing", "no file can have such a name") from None
    except FileNotFoundError:
        raise ImageUnusableError("missing", "there is no such file below the images' folder") from None
    except NotADirectoryError:
        raise ImageUnusableError("missing", "a part of its path is a file, not a folder") from None
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise ImageUnusableError("not_a_file", "is a socket, or a device that is not there") from None
        reason = "missing" if error.errno == errno.ENAMETOOLONG else "unreadable"
        raise ImageUnusableError(reason, f"cannot be opened: {error.strerror}") from None
    raise _outside()


def _outside() -> ImageUnusableError:
    return ImageUnusableError("outside_root", "its path leaves the images' folder")


def decode(content: bytes, max_pixels: int) -> Picture:
    """Decode a PNG or JPEG; raises ImageUnusableError for any other or damaged content."""
    try:
        if _PNG_SIGNATURE.startswith(content[: len(_PNG_SIGNATURE)]):
            content = _checked_png(content, max_pixels)
            kind = _PNG_QUICK.get(content[_PNG_KIND])
            if kind is not None:
                return Picture(_quickly(content, kind))
        elif content.startswith(_JPEG_SIGNATURE):
            content = _checked_jpeg(content)
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
            _check_size(*picture.size, max_pixels)
            return Picture(_values(picture))
    except UnidentifiedImageError:
        if content.startswith((_PNG_SIGNATURE, _JPEG_SIGNATURE)):
            raise ImageUnusableError("damaged", "its header cannot be read") from None
        raise ImageUnusableError("wrong_format", "is neither PNG nor JPEG, whatever its name") from None
    except (ImageUnusableError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  # damage makes parsers raise IndexError too, and more
        reason = "truncated" if "truncated" in str(error).lower() else "damaged"
        raise ImageUnusableError(reason, f"cannot be decoded: {error}") from None


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageUnusableError("too_large", f"{width} x {height} pixels; the limit is {max_pixels:,}")


def _ends_early(content: bytes) -> ImageUnusableError:
    message = f"the file ends after {len(content):,} bytes, before its picture does"
    return ImageUnusableError("truncated", message)


def _checked_png(content: bytes, max_pixels: int) -> bytes:
    """Check a PNG, and give one of the same pixels: header, palette, and rows that are not compressed.

    Decoders stop inflating where the last row is full or the stream ends, and may never see the checksum:
    what a lost, repeated or misplaced chunk makes of a picture is taken for it. So the rows are inflated
    here. Of all else that a file may hold, no decoder sees a byte.
    """
    chunks = _chunks(content)
    kinds = [kind for kind, _, _ in chunks]
    header = content[chunks[0][1] : chunks[0][2]]
    if kinds[0] != b"IHDR" or kinds.count(b"IHDR") > 1 or b"IDAT" not in kinds:
        raise ImageUnusableError("damaged", "it has not the one header and the pixels that a PNG has")
    first, count = kinds.index(b"IDAT"), kinds.count(b"IDAT")
    if kinds[first : first + count] != [b"IDAT"] * count:
        raise ImageUnusableError("damaged", "another chunk stands between those of its pixels")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    kept = [*_chunk(b"IHDR", header)]
    if colour == _PNG_PALETTE:
        if b"PLTE" not in kinds[:first]:
            raise ImageUnusableError("damaged", "its palette is not there")
        _, start, end = chunks[kinds.index(b"PLTE")]
        kept += _chunk(b"PLTE", content[start:end])
    _check_size(width, height, max_pixels)
    wanted = _bytes_of_rows(width, height, depth * _PNG_SAMPLES.get(colour, 1), interlaced=interlaced > 0)
    view = memoryview(content)
    packed = b"".join([view[start:end] for _, start, end in chunks[first : first + count]])
    rows = _stored(_inflated(packed, wanted))
    return b"".join([_PNG_SIGNATURE, *kept, *_chunk(b"IDAT", *rows), *_chunk(b"IEND")])


def _chunk(kind: bytes, *data: bytes | memoryview) -> list[bytes | memoryview]:
    """Put a PNG chunk of some parts into its frame."""
    checksum = isal_zlib.crc32(kind)
    for part in data:
        checksum = isal_zlib.crc32(part, checksum)
    return [struct.pack(">I4s", sum(map(len, data)), kind), *data, struct.pack(">I", checksum)]


def _stored(rows: bytes) -> list[bytes | memoryview]:
    """Give the parts of a zlib stream (RFC 1950, 1951) of blocks that are not compressed."""
    view = memoryview(rows)
    stream: list[bytes | memoryview] = [b"\x78\x01"]
    for start in range(0, len(rows), _PNG_STORED):
        block = view[start : start + _PNG_STORED]
        last = start + _PNG_STORED >= len(rows)
        stream += [struct.pack("<BHH", last, len(block), len(block) ^ _PNG_STORED), block]
    return [*stream, struct.pack(">I", isal_zlib.adler32(rows))]


def _quickly(png: bytes, kind: str) -> NDArray[np.uint8]:
    """Undo the filters of a checked PNG, twice as fast as Pillow; grey or RGB."""
    width, height = struct.unpack_from(">II", png, 16)
    values: NDArray[np.uint8] = decode_image_png_u8(png, (height, width), kind)
    return values[..., 0] if kind == "mono" else np.ascontiguousarray(values[..., :3])


def _chunks(content: bytes) -> list[tuple[bytes, int, int]]:
    """Give type, start and end of the data of a PNG's chunks up to its last; check each CRC-32."""
    position = len(_PNG_SIGNATURE)
    view = memoryview(content)
    chunks = []
    while position + _CHUNK_FRAME <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        end = position + 8 + length
        if end + 4 > len(content):
            break
        if isal_zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", content, end)[0]:
            name = kind.decode("latin-1")
            raise ImageUnusableError("damaged", f"the checksum of its {name!r} chunk is wrong")
        chunks.append((kind, position + 8, end))
        if kind == b"IEND":
            return chunks
        if len(chunks) == _MAX_PARTS:
            raise ImageUnusableError("too_large", f"it has more than {_MAX_PARTS:,} chunks")
        position = end + 4
    raise _ends_early(content)


def _bytes_of_rows(width: int, height: int, bits: int, *, interlaced: bool) -> int:
    """Give the size of a PNG's inflated rows, each with a byte for its filter in front."""
    total = 0
    for left, top, right, down in _PNG_PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = len(range(left, width, right)), len(range(top, height, down))
        total += rows * (1 + (columns * bits + 7) // 8) if columns else 0
    return total


def _inflated(packed: bytes, wanted: int) -> bytes:
    """Inflate a PNG's rows, not more than `wanted` bytes whatever they claim to be; check the Adler-32."""
    inflater = isal_zlib.decompressobj()
    rows = inflater.decompress(packed, wanted + 1)
    if len(rows) > wanted:
        raise ImageUnusableError("damaged", "it has more pixels than its header says")
    if len(rows) < wanted or not inflater.eof:
        raise ImageUnusableError("truncated", "it has fewer pixels than its header says")
    return rows


def _checked_jpeg(content: bytes) -> bytes:
    """Check that a JPEG is there up to its end, and give what its pixels need, so that a cut scan is seen.

    Where a scan's data end early, libjpeg makes up the rest, and Pillow keeps the warning for itself. Where
    the end's marker is taken away libjpeg asks for more instead, and Pillow raises an error.
    """
    frame, wanted, exact = 0, set[tuple[int, int]](), set[tuple[int, int]]()
    scans, kept = 0, [_JPEG_SIGNATURE]
    for kind, segment in _segments(content):
        if kind not in _JPEG_REMARKS:  # Pillow takes a minute for 100 MB of them
            kept.append(segment)
        if kind in _JPEG_FRAMES:
            frame = kind
            if segment[4] == 12:  # noqa: PLR2004
                raise ImageUnusableError("wrong_format", "is a JPEG of 12 bits a sample; those of 8 are read")
            wanted.update(product(segment[10::3], range(64)))
        elif kind == _JPEG_SCAN:
            scans += 1
            exact.update(_made_exact(segment[4:]))
        if scans > _JPEG_MAX_SCANS:
            raise ImageUnusableError("too_large", f"it has more than {_JPEG_MAX_SCANS} scans")
    if frame in _JPEG_COSINES and not wanted <= exact:
        raise ImageUnusableError("truncated", "scans that its picture is made of are not there")
    end = _JPEG_NO_CODE if frame in _JPEG_SEQUENTIAL and scans == 1 else b"\xff\xd9"
    return b"".join([*kept, end])


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the marker's number and the bytes of a JPEG's segments, a scan's with the data that follow it."""
    position = len(_JPEG_SIGNATURE)
    for _ in range(_MAX_PARTS):
        marker = _JPEG_MARKER.match(content, position)
        if marker is None and len(content) - position > 1:
            raise ImageUnusableError("damaged", f"no part of it begins at byte {position:,}, where one must")
        if marker is None:
            break
        kind, position = marker[1][0], marker.end()
        if kind == _JPEG_END:
            return
        if kind in _JPEG_ALONE:
            continue
        length = int.from_bytes(content[position : position + 2])  # itself included
        start, position = position - 2, position + max(2, length)
        if kind == _JPEG_SCAN:
            behind = _JPEG_SCAN_END.search(content, position)
            position = len(content) if behind is None else behind.start()
        if position >= len(content):
            break
        yield kind, content[start:position]
    else:
        raise ImageUnusableError("too_large", f"it has more than {_MAX_PARTS:,} segments")
    raise _ends_early(content)


def _made_exact(scan: bytes) -> Iterator[tuple[int, int]]:
    """Give component and number of the coefficients of which a scan brings the last bit."""
    components = 1 + 2 * scan[0]
    first, last, approximation = scan[components : components + 3]
    if approximation & 15 == 0:
        yield from product(scan[1:components:2], range(first, last + 1))


def _values(picture: Image.Image) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Give grey or RGB values; NIH ships a few RGBA pictures, whose alpha carries nothing."""
    if picture.mode.startswith("I"):  # 16-bit grey; Pillow names it I;16, or I in old files
        return np.asarray(picture, dtype=np.float32) * np.float32(1 / 257)
    if picture.mode in {"1", "LA"}:
        picture = picture.convert("L")
    elif picture.mode not in {"L", "RGB"}:
        picture.info.pop("transparency", None)  # a palette's; Pillow would warn that it is lost
        picture = picture.convert("RGB")
    return np.asarray(picture)
