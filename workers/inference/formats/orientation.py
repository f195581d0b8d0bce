"""Orientation: a picture that a file says is to be turned or mirrored is scored as every viewer shows it."""

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from workers.inference.formats.picture import Picture, Values

_TAG: Final = 0x0112
_SHORT: Final = 3  # the type of the tag's value
_ENTRY: Final = 12  # bytes: tag, type, number of values, value
_ORDERS: Final = {b"II*\0": "<", b"MM\0*": ">"}
_PREFIX: Final = b"Exif\0\0"  # of a JPEG's segment; a PNG's chunk has none

_UPRIGHT: Final[dict[int, Callable[[Values], Values]]] = {
    2: lambda values: values[:, ::-1],
    3: lambda values: values[::-1, ::-1],
    4: lambda values: values[::-1],
    5: lambda values: values.swapaxes(0, 1),
    6: lambda values: np.rot90(values, -1),
    7: lambda values: values[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}
"""What makes a picture upright, by the value of the tag (Exif 2.32, 4.6.4 A); 1 is upright."""


def upright(picture: Picture, exif: bytes) -> Picture:
    """Turn or mirror a picture as its Exif says; as it is where that is blank, damaged or says nothing."""
    turn = _UPRIGHT.get(_orientation(exif.removeprefix(_PREFIX)))
    return picture if turn is None else replace(picture, values=np.ascontiguousarray(turn(picture.values)))


def _orientation(tiff: bytes) -> int:
    """Return the value of the orientation's tag, 0 where there is none."""
    order = _ORDERS.get(tiff[:4])
    if order is None:
        return 0
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + _ENTRY * entry)
            if (tag, kind) == (_TAG, _SHORT):
                return int(value)
    except struct.error:  # it ends early
        pass
    return 0
