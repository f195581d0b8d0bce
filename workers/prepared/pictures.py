"""The pictures of a source, prepared for a model: those that a cache has are neither read nor decoded."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

from config.cache import Cache
from config.cards.classification import Preprocessing
from config.films import Recipe
from jobs.sources.source import ImageSource
from workers import inference
from workers.inference.formats.decode import most_bytes, picture_of
from workers.inference.formats.picture import Picture
from workers.inference.plausible import require_plausible
from workers.inference.prepared import Prepared, prepare_picture
from workers.prepared.entry import Entry, pack, unpack

_LATER: Final = {"factor", "mean", "std", "standardize", "least_side", "least_contrast"}
"""What a card says of pixels that are prepared already."""

_LIBRARIES: Final = (
    "imagecodecs",
    "isal",
    "kornia-rs",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "pydicom",
    "scipy",
)
"""Whose other versions may give other pixels."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """How pictures are prepared: for which preprocessings, each by itself, and with which limits.

    `max_pixels`: a picture of more is refused. `bits`: used in 16-bit pictures, None where nobody knows.
    `sight` and `backdrop`: whether a gate looks at them, and whether overlays are drawn.
    """

    preprocessings: Sequence[Preprocessing]
    max_pixels: int
    bits: int | None = None
    sight: bool = False
    backdrop: bool = False


class Reading(NamedTuple):
    """What reading an image gave: its bytes and their tag, or what was kept of it, for each preprocessing."""

    data: bytes
    tag: str
    kept: tuple[Prepared, ...] = ()


class PreparedPictures:
    """A source's pictures, prepared as wanted; safe to use by many threads at once.

    A kept picture counts if it was made of the bytes that the source has now, going by their tag, and by this
    version of Nightread and its libraries. Of a source that cannot tell the tag before, bytes are read and
    not decoded.
    """

    def __init__(self, source: ImageSource, wanted: Preparation, kept: Cache | None = None) -> None:
        """Take the source; without a cache every picture is read and decoded."""
        self._source = source
        self._wanted = wanted
        self._cache = kept
        self._hashes = [_hash_of(wanted, pixels) for pixels in wanted.preprocessings] if kept else []

    @property
    def readers(self) -> int:
        """How many reads at once pay."""
        return self._source.readers

    def get(self, name: str) -> tuple[Prepared, ...]:
        """Read and prepare an image; raises as `read` and `prepare`."""
        return self.prepare(name, self.read(name, most_bytes(self._wanted.max_pixels)))

    def read(self, name: str, max_bytes: int) -> Reading:
        """Read an image of at most `max_bytes`, or what is kept of it; raises as the source's `read`."""
        entries = self._entries(name)
        tags = {entry.tag for entry in entries}
        kept = tuple(entry.prepared for entry in entries) if len(tags) == 1 else ()
        if kept and (tag := self._source.tag(name)) in tags:
            return Reading(b"", str(tag), kept)
        content = self._source.read(name, max_bytes)
        return Reading(content.data, content.tag, kept if content.tag in tags else ())

    def prepare(self, name: str, reading: Reading) -> tuple[Prepared, ...]:
        """Decode and prepare what was read, unless that was kept; raises ImageUnusableError."""
        if reading.kept:
            for prepared, pixels in zip(reading.kept, self._wanted.preprocessings, strict=True):
                require_plausible(prepared.extent, pixels)
            return reading.kept
        pictures = self._pictures(reading.data)
        made = tuple(
            prepare_picture(
                pictures[pixels.greyscale],
                pixels,
                # Who comes next may need what this one does not.
                sight=self._wanted.sight or self._cache is not None,
                backdrop=self._wanted.backdrop or self._cache is not None,
            )
            for pixels in self._wanted.preprocessings
        )
        if self._cache:
            for key, prepared in zip(self._keys(name), made, strict=True):
                self._cache.put(key, pack(Entry(reading.tag, prepared), key))
        return made

    def _pictures(self, data: bytes) -> dict[Recipe, Picture]:
        """Decode a file, once for each recipe of a film's greys; other files have theirs."""
        pictures: dict[Recipe, Picture] = {}
        for pixels in self._wanted.preprocessings:
            known = next((picture for picture in pictures.values() if picture.film is None), None)
            if pixels.greyscale not in pictures:
                pictures[pixels.greyscale] = known or picture_of(
                    data, self._wanted.max_pixels, self._wanted.bits, pixels.greyscale
                )
        return pictures

    def _entries(self, name: str) -> list[Entry]:
        """Return what is kept of an image, nothing where a part of it is missing."""
        entries = []
        for key in self._keys(name):
            content = self._cache.get(key) if self._cache else None
            entry = None if content is None else unpack(content, key)
            if entry is None:
                return []
            entries.append(entry)
        return entries

    def _keys(self, name: str) -> list[str]:
        keys = []
        for begun in self._hashes:
            whole = begun.copy()
            whole.update(f"{self._source.root}/{name}".encode(errors="surrogatepass"))
            keys.append(whole.hexdigest())
        return keys


def _hash_of(wanted: Preparation, pixels: Preprocessing) -> "hashlib.blake2b":
    """Begin a key with all that makes of a file's bytes what they are prepared to; its name follows."""
    facts = [_code(), wanted.max_pixels, wanted.bits, pixels.model_dump(mode="json", exclude=_LATER)]
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=32)


@cache
def _code() -> str:
    """Return a hash of what decodes and prepares pictures: our own modules and the libraries' versions."""
    found = hashlib.blake2b(" ".join(map(version, _LIBRARIES)).encode(), digest_size=16)
    folder = Path(inference.__path__[0])
    for module in sorted([*folder.rglob("*.py"), Path(__file__), Path(__file__).with_name("entry.py")]):
        found.update(module.read_bytes())
    return found.hexdigest()
