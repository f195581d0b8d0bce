"""Where a table lies: on this machine, or in an object store, from which it is copied to be read."""

import hashlib
from pathlib import Path
from typing import Annotated, Final

from pydantic import PlainValidator

from config.failures import ImageUnusableError
from config.files import make_home, write_whole
from jobs.errors import SourceError
from jobs.sources.source import open_source

Place = Path | str
"""A path, or the URI of an object."""


def place_of(given: str | Path) -> Place:
    """Return what a person names: a URI as it is, anything else as a path."""
    return given if isinstance(given, str) and "://" in given else Path(given)


PlaceField = Annotated[Place, PlainValidator(place_of)]
"""A place as a field of a model."""

_MOST_BYTES: Final = 1 << 30
_LETTERS: Final = 16


def absolute(place: Place) -> Place:
    """Return a place that means the same from whatever folder it is named."""
    return place.absolute() if isinstance(place, Path) else place


def manifests_folder(home: Path) -> Path:
    """Return the folder of the manifests that are made or fetched, and make it if it is not there."""
    folder = home.absolute() / "manifests"
    make_home(home, "NIGHTREAD_HOME names the folder")
    folder.mkdir(exist_ok=True)
    return folder


def hash_name(content: bytes) -> str:
    """Return a name in that folder, the same for the same content."""
    return hashlib.sha256(content).hexdigest()[:_LETTERS]


def local_table(place: Place, home: Path) -> Path:
    """Return the path at which a table can be read; one of a store is copied into the home folder.

    The same bytes are the same copy. Raises SourceError or SourceAwayError where the store does not give it,
    and OSError where the copy cannot be written.
    """
    if isinstance(place, Path):
        return place
    folder, _, name = place.rpartition("/")
    source = open_source(folder)
    source.require()
    try:
        content = source.read(name, _MOST_BYTES).data
    except ImageUnusableError as error:
        raise SourceError(f"{place}: {error.message}") from None
    beside = manifests_folder(home) / hash_name(content)
    beside.mkdir(exist_ok=True)
    write_whole(beside / name, content)
    return beside / name
