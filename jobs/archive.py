"""What is scored without a manifest: a folder, a DICOMDIR, a bucket or a PACS, of which one is made first."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobs.sources.source import is_dicomweb, is_object_store

_DICOMDIR: Final = "DICOMDIR"

_TABLES: Final = (
    *(".csv", ".tsv", ".txt", ".gz", ".xlsx", ".xls", ".parquet"),
    *(".json", ".jsonl", ".ndjson"),
)


@dataclass(frozen=True, slots=True)
class Archive:
    """A folder, a DICOMDIR (PS3.10 8.6), a prefix in an object store, or the root of a DICOMweb service.

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
    def is_store(self) -> bool:
        """Whether it lies in an object store."""
        return is_object_store(self.place)

    @property
    def images(self) -> str:
        """The root of its images."""
        path = Path(self.place)
        return self.place if self.is_service or self.is_store or path.is_dir() else str(path.parent)


def is_archive(place: str) -> bool:
    """Return whether what a person names has no manifest yet; else it is one, or meant to be.

    In a store a table is known by how its name ends.
    """
    if is_object_store(place):
        return not place.rpartition("/")[2].lower().endswith(_TABLES)
    return is_dicomweb(place) or Path(place).is_dir() or Path(place).name.upper() == _DICOMDIR
