"""Pillow's part of decoding: the pixels of a file that was checked, as grey or RGB values."""

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from config.failures import ImageUnusableError, Reason
from workers.inference.formats.picture import Picture, check_size, ends_early

# Pillow only warns about a large picture, in a process-wide way that threads cannot catch. `check_size`
# replaces that, on the header's numbers and before a pixel is decoded.
Image.MAX_IMAGE_PIXELS = None

_SIXTEEN_BITS: Final = np.float32(1 / 257)


class _File(io.BytesIO):
    """A file in memory that remembers whether it was asked for more than it has."""

    exhausted = False

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self.exhausted = self.exhausted or (not found and size != 0)
        return found


def decode_raster(content: bytes, pillow_format: str, max_pixels: int) -> Picture:
    """Decode a checked file that Pillow knows as `pillow_format`, and nothing else.

    Raises ImageUnusableError where the header cannot be read, the picture is too large, or its data end.
    """
    file = _File(content)
    try:
        with Image.open(file, formats=(pillow_format,)) as picture:
            check_size(*picture.size, max_pixels)
            file.exhausted = False
            return Picture(_values(picture))
    except UnidentifiedImageError:
        raise ImageUnusableError(Reason.DAMAGED, "its header cannot be read") from None
    except OSError:
        if file.exhausted:
            raise ends_early(content) from None
        raise


def _values(picture: Image.Image) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Return grey or RGB values; NIH ships a few RGBA pictures, whose alpha carries nothing."""
    if picture.mode.startswith("I"):  # 16-bit grey; Pillow names it I;16, or I in old files
        return np.asarray(picture, dtype=np.float32) * _SIXTEEN_BITS
    if picture.mode in {"1", "LA"}:
        picture = picture.convert("L")
    elif picture.mode not in {"L", "RGB"}:
        picture.info.pop("transparency", None)  # a palette's; Pillow would warn that it is lost
        picture = picture.convert("RGB")
    return np.asarray(picture)
