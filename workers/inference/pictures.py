"""From a name in the manifest to a decoded picture: confined to the images' root, bounded, and undamaged."""

import errno
import io
import os
import stat
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE: Final = b"\xff\xd8"
_CHUNK_FRAME: Final = 12  # length, type and checksum around a PNG chunk's data
_BYTES_A_PIXEL: Final = 8  # of the largest picture that a file may hold uncompressed: 16-bit RGBA

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
            return file.read()
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
        reason = "missing" if error.errno == errno.ENAMETOOLONG else "unreadable"
        raise ImageUnusableError(reason, f"cannot be opened: {error.strerror}") from None
    raise _outside()


def _outside() -> ImageUnusableError:
    return ImageUnusableError("outside_root", "its path leaves the images' folder")


def decode(content: bytes, max_pixels: int) -> Picture:
    """Decode a PNG or JPEG; raises ImageUnusableError for any other or damaged content."""
    if _PNG_SIGNATURE.startswith(content[: len(_PNG_SIGNATURE)]):
        _check_png(content)
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
            _check_size(*picture.size, max_pixels)
            return Picture(_values(picture))
    except UnidentifiedImageError:
        if content.startswith((_PNG_SIGNATURE, _JPEG_SIGNATURE)):
            raise ImageUnusableError("damaged", "its header cannot be read") from None
        raise ImageUnusableError("wrong_format", "is neither PNG nor JPEG, whatever its name") from None
    except (ImageUnusableError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  # damage makes Pillow's parsers raise IndexError too, and more
        reason = "truncated" if "truncated" in str(error).lower() else "damaged"
        raise ImageUnusableError(reason, f"cannot be decoded: {error}") from None


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageUnusableError("too_large", f"{width} x {height} pixels; the limit is {max_pixels:,}")


def _check_png(content: bytes) -> None:
    """Check every chunk's CRC-32, which Pillow skips for the pixels, and that the file has its end."""
    position = len(_PNG_SIGNATURE)
    view = memoryview(content)
    while position + _CHUNK_FRAME <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        end = position + 8 + length
        if end + 4 > len(content):
            break
        if zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", content, end)[0]:
            raise ImageUnusableError(
                "damaged", f"the checksum of its {kind.decode('latin-1')!r} chunk is wrong"
            )
        if kind == b"IEND":
            return
        position = end + 4
    raise ImageUnusableError(
        "truncated", f"the file ends after {len(content):,} bytes, before its picture does"
    )


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
