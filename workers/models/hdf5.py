"""Keras' containers, written by strangers: HDF5 files opened so that nothing outside them is reached."""

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import h5py

from config.errors import ConfigError

_HDF5_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_ZIP_SIGNATURE: Final = b"PK\x03\x04"
_PICKLE_SIGNATURES: Final = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))

_MEMBER: Final = "model.weights.h5"
# The largest weights are 115 MB; an optimiser's moments, twice that, and float64 are allowed for.
_LARGEST_MEMBER: Final = 2**30


@contextmanager
def hdf5_of(path: Path) -> Iterator[h5py.File]:
    """Open the HDF5 file that holds the weights; that of a `.keras` through a temporary file.

    Raises ConfigError for a file that is neither, and what h5py and zipfile raise for a damaged one.
    """
    if path.is_dir():
        raise ConfigError("is a folder; save the model as one .h5 or .keras file with Keras first")
    if path.exists() and not path.is_file():
        raise ConfigError("is a device or a pipe, not a file")
    with path.open("rb") as file:
        start = file.read(len(_HDF5_SIGNATURE))
    if start == _HDF5_SIGNATURE:
        with h5py.File(path, "r") as opened:
            yield opened
    elif start.startswith(_ZIP_SIGNATURE):
        with tempfile.NamedTemporaryFile(suffix=".h5") as unpacked:
            _unpack(path, unpacked)
            with h5py.File(unpacked.name, "r") as opened:
                yield opened
    elif not start:
        raise ConfigError("the file has 0 bytes")
    elif start.startswith(_PICKLE_SIGNATURES):
        raise ConfigError("is a pickle, which is code; Keras' weights are .h5 or .keras files")
    else:
        raise ConfigError("is neither HDF5 nor a .keras file")


def _unpack(path: Path, target: IO[bytes]) -> None:
    with zipfile.ZipFile(path) as archive:
        if _MEMBER not in archive.namelist():
            raise ConfigError(f"is a zip without {_MEMBER}, so not a .keras file")
        # zipfile never gives more bytes than the size that it names here.
        size = archive.getinfo(_MEMBER).file_size
        if size > _LARGEST_MEMBER:
            raise ConfigError(
                f"its {_MEMBER} has {size:,} bytes, more than any DenseNet needs ({_LARGEST_MEMBER:,})"
            )
        with archive.open(_MEMBER) as member:
            shutil.copyfileobj(member, target)
    target.flush()


def member(group: h5py.Group, path: str) -> h5py.Group | h5py.Dataset:
    """Return what is in this file at a path. A link could lead to another file, or in a circle."""
    found = group
    for step in filter(None, path.split("/")):
        # get() with getlink looks at the link alone; `in` would follow it.
        link = found.get(step, getlink=True) if isinstance(found, h5py.Group) else None
        if link is None:
            raise ConfigError(f"{path} is named in it, but is not there")
        if not isinstance(link, h5py.HardLink):
            raise ConfigError(f"{path} is a link to elsewhere, and links are not followed")
        found = found[step]
    return found


def dataset(group: h5py.Group, path: str) -> h5py.Dataset:
    """Return the array at a path, none of it read yet; one kept in another file is refused."""
    found = member(group, path)
    if not isinstance(found, h5py.Dataset):
        raise ConfigError(f"{path} is not an array")
    if found.is_virtual or found.external:
        raise ConfigError(f"{path} is kept in another file, and links are not followed")
    return found
