"""A DICOMDIR: the directory of a DICOM medium, which names files beside and below it."""

import io
import warnings
from pathlib import Path
from typing import Final

import pydicom

from jobs.errors import InputError
from jobs.inventory.header import HEAD, is_deflated, is_directory
from jobs.inventory.skips import Skipped
from jobs.inventory.walk import skip_of_name

_MOST_BYTES: Final = 1 << 28
"""A directory of some hundred thousand files."""


class DirectoryError(InputError):
    """A file that is no folder, and no DICOMDIR that can be read; the message quotes nothing of it."""


def named_in(path: Path) -> tuple[list[str], list[Skipped]]:
    """Read the names of the files that a DICOMDIR names, relative to its folder and sorted.

    Names that no manifest can hold are passed over, as in `walk`. Raises DirectoryError.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise DirectoryError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > _MOST_BYTES or not is_directory(content[:HEAD]) or is_deflated(content[:HEAD]):
        raise DirectoryError(f"{path} is neither a folder nor a DICOMDIR; name one of them")
    names = {_as_it_is(path.parent, name) for name in _names(path, content)}
    skipped = [Skipped(name, reason) for name in sorted(names) if (reason := skip_of_name(name))]
    return sorted(names - {file.name for file in skipped}), skipped


def _names(path: Path, content: bytes) -> list[str]:
    try:
        with warnings.catch_warnings(action="ignore"):
            directory = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
            records = directory.DirectoryRecordSequence
            parts = [record.get("ReferencedFileID") for record in records]
    except Exception:  # noqa: BLE001  # damage makes pydicom raise anything; its texts quote the file
        raise DirectoryError(f"{path} is no DICOMDIR that can be read; name its folder instead") from None
    return [part if isinstance(part, str) else "/".join(map(str, part)) for part in parts if part]


def _as_it_is(folder: Path, name: str) -> str:
    """Return a name as the file system has it: some show those of a CD in small letters."""
    small = name.lower()
    return small if not (folder / name).exists() and (folder / small).exists() else name
