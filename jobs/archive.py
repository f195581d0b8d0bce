"""What is scored without a manifest: a folder, a DICOMDIR or a PACS, of which one is made first."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobs.sources.source import is_dicomweb

_DICOMDIR: Final = "DICOMDIR"


@dataclass(frozen=True, slots=True)
class Archive:
    """A folder, a DICOMDIR (PS3.10 8.6), or the root of a DICOMweb service, as a person names it.

    `since`, `until`, `modality`: which studies of a service, as `nightread manifest` takes them.
    """

    place: str
    since: str | None = None
    until: str | None = None
    modality: str | None = None

    @property
    def is_service(self) -> bool:
        """Whether it is searched, and not walked."""
        return is_dicomweb(self.place)

    @property
    def images(self) -> str:
        """The root of its images."""
        path = Path(self.place)
        return self.place if self.is_service or path.is_dir() else str(path.parent)


def is_archive(place: str) -> bool:
    """Return whether what a person names has no manifest yet; else it is one, or meant to be."""
    return is_dicomweb(place) or Path(place).is_dir() or Path(place).name.upper() == _DICOMDIR
