"""NIfTI files: read within bounds that their headers declare, and written with the source's affine.

nibabel reads headers and scales values. What it would leave to the memory is checked first: a header may
declare any number of voxels, and a gzip stream may grow a thousandfold.
"""

import gzip
import io
import zlib
from typing import Any, Final

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from config.failures import ImageUnusableError, Reason
from workers.inference.formats.strangers import HEAD, describe
from workers.inference.volumes.scan import SPACE, Scan, require_numbers

_GZIP: Final = b"\x1f\x8b"
_HEADER_BYTES: Final = 544
"""Of either version's header, with the bytes that say whether extensions follow."""

_WIDEST: Final = 8
"""Bytes of a number."""

MOST_RATIO: Final = 200
"""A gzip stream that grows more than so many times, and beyond _SMALL, is a bomb."""

_SMALL: Final = 64 * 2**20
_MOST_BYTES: Final = 2**30
"""Of one file's numbers."""

_LEVEL: Final = 1
"""Masks are nearly empty: gzip's fastest level makes them hardly larger."""

_CLASSES: Final = {348: nibabel.Nifti1Image, 540: nibabel.Nifti2Image}
"""By the size of the header, which is the file's first number."""


def read_nifti(content: bytes, max_voxels: int) -> Scan:
    """Read a NIfTI file, gzipped or not; `max_voxels`: of each channel.

    Raises ImageUnusableError where it is none, is cut or damaged, is larger than it may be, or has values
    that are no numbers.
    """
    head = _inflated(content, _HEADER_BYTES)[0]
    kind = _CLASSES.get(int.from_bytes(head[:4], "little")) or _CLASSES.get(int.from_bytes(head[:4], "big"))
    if kind is None:
        found = describe(head[:HEAD])
        raise ImageUnusableError(Reason.WRONG_FORMAT, found or "is no NIfTI file: .nii or .nii.gz")
    try:
        header = kind.header_class.from_fileobj(io.BytesIO(head))
        shape = tuple(int(size) for size in header.get_data_shape())
        number = header.get_data_dtype()
        start = int(header.get_data_offset())
    except (HeaderDataError, ValueError, OverflowError, EOFError, OSError):
        raise ImageUnusableError(Reason.DAMAGED, "its NIfTI header cannot be understood") from None
    while len(shape) > SPACE and shape[-1] == 1:
        shape = shape[:-1]
    size = _bounded(shape, number, max_voxels)
    if start < 0 or start > _MOST_BYTES:
        raise ImageUnusableError(Reason.DAMAGED, "its header says that the voxels begin outside the file")
    if content.startswith(_GZIP) and size > max(_SMALL, MOST_RATIO * len(content)):
        raise ImageUnusableError(
            Reason.TOO_LARGE, f"{len(content):,} bytes declare {size:,}: more than {MOST_RATIO} times as many"
        )
    whole, ended = _inflated(content, start + size)
    if len(whole) < start + size or not ended:
        raise ImageUnusableError(Reason.TRUNCATED, "the file ends before its voxels do")
    try:
        image = kind.from_bytes(whole)
        affine = np.asarray(image.affine, dtype=np.float64)
        values = np.empty(shape, dtype=np.float32, order="F")
        # Channel by channel: nibabel scales in float64, which a whole volume would double the memory for.
        for channel in np.ndindex(shape[3:]):
            part = (..., *channel)
            stored = image.dataobj[(slice(None), slice(None), slice(None), *channel)]
            with np.errstate(over="ignore", invalid="ignore"):
                values[part] = np.asarray(stored).reshape(shape[:3])
    except (HeaderDataError, ValueError, OverflowError, EOFError, OSError):
        raise ImageUnusableError(Reason.DAMAGED, "its voxels cannot be decoded") from None
    return require_numbers(Scan(values, affine))


def write_nifti(values: NDArray[np.uint8], affine: NDArray[np.float64]) -> bytes:
    """Return a gzipped NIfTI file of labels, uint8 (x, y, z), the same bytes for the same labels."""
    image = nibabel.Nifti1Image(values, affine, dtype=np.uint8)
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), _LEVEL, mtime=0)


def _bounded(shape: tuple[int, ...], number: np.dtype[Any], max_voxels: int) -> int:
    """Return the bytes that a header declares; ImageUnusableError for what is no volume, or too large."""
    if len(shape) not in {SPACE, SPACE + 1} or min(shape) < 1:
        sides = " x ".join(map(str, shape))
        raise ImageUnusableError(Reason.WRONG_SHAPE, f"its header declares {sides or 'no'} voxels, no volume")
    if number.kind not in "iuf" or number.itemsize > _WIDEST:
        raise ImageUnusableError(Reason.WRONG_FORMAT, f"its voxels are {number}, no plain numbers")
    voxels = shape[0] * shape[1] * shape[2]
    if voxels > max_voxels:
        raise ImageUnusableError(
            Reason.TOO_LARGE, f"its header declares {voxels:,} voxels; {max_voxels:,} are allowed"
        )
    size: int = voxels * (shape[3] if len(shape) > SPACE else 1) * number.itemsize
    if size > _MOST_BYTES:
        raise ImageUnusableError(
            Reason.TOO_LARGE, f"its header declares {size:,} bytes; {_MOST_BYTES:,} are allowed"
        )
    return size


def _inflated(content: bytes, size: int) -> tuple[bytes, bool]:
    """Return the first `size` bytes of a file, and whether its stream goes on or ends rightly behind them."""
    if not content.startswith(_GZIP):
        return content[:size], True
    stream = zlib.decompressobj(wbits=31)
    try:
        inflated = stream.decompress(content, size)
        # The checksum stands at the stream's end.
        rest = stream.decompress(stream.unconsumed_tail, 1)
    except zlib.error:
        raise ImageUnusableError(Reason.DAMAGED, "its gzip stream is damaged") from None
    return inflated, stream.eof or bool(rest)
