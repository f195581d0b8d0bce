"""Where the images of an archive come from: the kinds of source, by the scheme of the root's URI."""

import re
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Final, Protocol

from config.content import Content
from jobs.errors import SourceError
from jobs.sources.lookup import Lookup


class ImageSource(Protocol):
    """An archive's images below one root; safe to use by many threads at once."""

    root: str
    """The root as the ledger keeps it: absolute, the same from whatever folder it was named."""

    only_dicom: bool
    """Whether all of its images are DICOM, of which each says itself how deep it is."""

    @property
    def readers(self) -> int:
        """How many reads at once pay: few where a read costs the processor, many where it costs waiting."""

    def require(self) -> None:
        """Raise SourceError unless the root is there and may be read, SourceAwayError where that passes."""

    def look_up(self, names: Collection[str]) -> Lookup:
        """Find the names under which there is no image, quickly and without reading any.

        What `parts` takes apart is there. Raises SourceAwayError.
        """

    def parts(self, name: str) -> Sequence[str]:
        """Return the names of the files that a name stands for: of a folder, all below it, sorted.

        Any other name stands for itself, be it there or not. Raises as `read` does, and ImageUnusableError
        where a folder has no file, or more than MOST_PARTS.
        """

    def read(self, name: str, max_bytes: int) -> Content:
        """Return the content of the image that the manifest calls `name`.

        Raises ImageUnusableError where that is the image's own fault; a name that leaves the root is refused,
        and so is content of more than `max_bytes`. Raises SourceAwayError, or SourceError, where any image
        would fare so now.
        """

    def tag(self, name: str) -> str | None:
        """Return the tag that `read` would give, without reading the image.

        None where only reading tells, and of an image that cannot be read. May raise SourceAwayError, or
        SourceError, where `read` would.
        """


SOURCES: Final[dict[str, str]] = {
    "file": "jobs.sources.folder:FolderSource",
    "dicomweb+https": "jobs.sources.dicomweb:DicomWebSource",
    "dicomweb+http": "jobs.sources.dicomweb:DicomWebSource",
    "s3": "jobs.sources.objects:ObjectSource",
    "gs": "jobs.sources.objects:ObjectSource",
    "az": "jobs.sources.objects:ObjectSource",
}
"""The kinds of source by URI scheme. By name, as a process needs one; a root without a scheme is a path."""

_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*)://")


def open_source(root: str | Path) -> ImageSource:
    """Open the source of a root, such as `/archive/images`; SourceError for a scheme that is not known."""
    root = str(root)
    scheme = _SCHEME.match(root)
    kind = SOURCES.get(scheme[1] if scheme else "file")
    if kind is None:
        # No more of it is repeated: it may hold a password.
        raise SourceError(
            f"images cannot be read from {root.partition('://')[0]}://; there are: a path, "
            f"{', '.join(f'{name}://' for name in SOURCES)}"
        )
    source: ImageSource = resolve_name(kind)(root)
    return source


@cache
def kept_source(root: str) -> ImageSource:
    """Return the source of a root that a process keeps, with its connections, as `open_source` opens it."""
    return open_source(root)


def is_dicomweb(text: str) -> bool:
    """Return whether a person has named a DICOMweb service, be it a right address of one or not."""
    return text.startswith("dicomweb+")


def is_object_store(text: str) -> bool:
    """Return whether a person has named a place in an object store."""
    scheme = _SCHEME.match(text)
    return scheme is not None and SOURCES.get(scheme[1], "").startswith("jobs.sources.objects:")
