"""16-bit pictures: how many of the bits are used, which nearly no file says.

Scanners write 10, 12 or 14 bits into 16: taken as 16, their white is nearly black.
"""

from typing import Final

import numpy as np

from config.failures import ImageUnusableError, Reason
from workers.inference.formats.picture import Picture

_BITS: Final = 16
_WHITE: Final = 2**_BITS - 1
_STEP: Final = 257  # 16-bit values per grey value of 0 to 255


def rescaled(picture: Picture, bits: int | None) -> Picture:
    """Return a picture of which white is white; `bits` (8 to 16) are used in it, as the run says.

    Raises ImageUnusableError where its values do not fit that or, unless it is said, where the highest bit is
    used nowhere. A flat picture is left as it is.
    """
    if not picture.deep or picture.values.min() == picture.values.max():
        return picture
    highest = round(float(picture.values.max()) * _STEP)
    used = highest.bit_length()
    if bits is None and used < _BITS:
        message = (
            f"its largest value, {highest:,}, uses {used} of 16 bits, and it would be scored too dark; say "
            "with --bits how many its device writes, 16 if it is that dark"
        )
        raise ImageUnusableError(Reason.WRONG_DEPTH, message)
    if bits is None or bits == _BITS:
        return picture
    if used > bits:
        message = f"its largest value, {highest:,}, needs {used} bits; {bits} were said or measured (--bits)"
        raise ImageUnusableError(Reason.WRONG_DEPTH, message)
    if not _is_exact(picture):
        message = f"of its 16 bits {bits} are used, which is read of grey without alpha only; convert it"
        raise ImageUnusableError(Reason.WRONG_DEPTH, message)
    return _as_bits(picture, bits)


def _is_exact(picture: Picture) -> bool:
    """Return whether all 16 bits are there; of colour and alpha the decoder keeps the upper eight."""
    return picture.values.dtype == np.float32


def _as_bits(picture: Picture, bits: int) -> Picture:
    """Return a deep picture with white at the largest value of `bits` bits."""
    return Picture(picture.values * np.float32(_WHITE / (2**bits - 1)))


def as_said(picture: Picture, significant: bytes) -> Picture:
    """Return a deep picture as its PNG's chunk sBIT says, if that has one number of bits below 16.

    By the standard values are shifted up to 16 bits all the same. Some programs write them as they are: then
    the largest fits into the bits that the chunk names.
    """
    bits = significant[0] if len(significant) == 1 else 0
    if not (_is_exact(picture) and 0 < bits < _BITS):
        return picture
    if round(float(picture.values.max()) * _STEP) >= 2**bits:
        return Picture(picture.values)
    return _as_bits(picture, bits)
