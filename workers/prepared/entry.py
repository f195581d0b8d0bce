"""A prepared picture as bytes: with a checksum, the key that it was kept by, and its source's tag.

Nothing of it is executed or trusted: what is cut, damaged or another's is taken for absent.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final, NamedTuple

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from config.films import Film, Greyscale, Spacing
from workers.inference.backdrop import Backdrop
from workers.inference.gate import Sight
from workers.inference.plausible import Extent
from workers.inference.prepared import Prepared

_MAGIC: Final = b"NIGHTPIX"
_HEAD: Final = struct.Struct("<8sII")  # magic, CRC-32 of what follows it, and the length of the facts
_CHECKED: Final = 12  # bytes before those that the checksum is of
_ALIGNED: Final = 16
_KINDS: Final = {"|u1", "<f4"}


class Entry(NamedTuple):
    """A prepared picture, and the tag of the bytes that it was made of."""

    tag: str
    prepared: Prepared


def pack(entry: Entry, key: str) -> bytes:
    """Write an entry, which has a sight and a backdrop, for `unpack`."""
    prepared = entry.prepared
    if prepared.sight is None or prepared.backdrop is None:
        raise ValueError("an entry is for everybody, and lacks nothing")
    arrays = [prepared.views, prepared.sight.greys, prepared.backdrop.values]
    facts = {
        "key": key,
        "tag": entry.tag,
        "extent": prepared.extent,
        "film": None if prepared.film is None else asdict(prepared.film),
        "sight": [prepared.sight.brightness, prepared.sight.contrast],
        "scale": prepared.backdrop.scale,
        "arrays": [[array.dtype.str, array.shape] for array in arrays],
    }
    said = json.dumps(facts).encode()
    said = said.ljust(-(-len(said) // _ALIGNED) * _ALIGNED)
    body = b"".join([struct.pack("<I", len(said)), said, *(array.tobytes() for array in arrays)])
    return _MAGIC + struct.pack("<I", isal_zlib.crc32(body)) + body


def unpack(content: bytes, key: str) -> Entry | None:
    """Read an entry; None for anything but what `pack` wrote for this key."""
    try:
        magic, checksum, length = _HEAD.unpack_from(content)
        if magic != _MAGIC or isal_zlib.crc32(memoryview(content)[_CHECKED:]) != checksum:
            return None
        facts = json.loads(content[_HEAD.size : _HEAD.size + length])
        if facts["key"] != key:
            return None
        views, greys, backdrop = _arrays(content, _HEAD.size + length, facts["arrays"])
        prepared = Prepared(
            views,
            Extent(*facts["extent"]),
            _film(facts["film"]),
            Sight(greys, *facts["sight"]),
            Backdrop(backdrop, facts["scale"]),
        )
        return Entry(facts["tag"], prepared)
    except (struct.error, ValueError, KeyError, TypeError):
        return None


def _arrays(content: bytes, start: int, described: list[Any]) -> Iterator[NDArray[Any]]:
    """Yield the arrays that begin at `start`, as views of the content, which cannot be written to."""
    for kind, shape in described:
        if kind not in _KINDS:
            raise ValueError(f"{kind} is no kind of pixels")
        array = np.frombuffer(content, kind, int(np.prod(shape)), start).reshape(shape)
        start += array.nbytes
        yield array


def _film(said: dict[str, Any] | None) -> Film | None:
    if said is None:
        return None
    greyscale, spacing = said["greyscale"], said["spacing"]
    return Film(
        None if greyscale is None else Greyscale(greyscale),
        said["padded"],
        None if spacing is None else Spacing(**spacing),
    )
