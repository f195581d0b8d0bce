"""The cases of a manifest of volumes for the numeric code, which knows neither sources nor manifests."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Final

from config.cards.segmentation import SegmentationCard
from config.failures import ImageUnusableError, Reason
from jobs.sources.source import ImageSource
from jobs.tables.case_files import LABEL
from workers.inference.formats import dicom
from workers.inference.formats.strangers import HEAD
from workers.inference.volumes.nifti import read_nifti
from workers.inference.volumes.scan import MOST_FILE_BYTES, Scan, about
from workers.inference.volumes.volume import Labels, Volume, labels_of, read_volume
from workers.read_ahead import ReadAhead

_TAG_BYTES: Final = 16


def case_files_of(stored: str | None) -> dict[str, str]:
    """Return a manifest row's files, by what they are."""
    files: dict[str, str] = json.loads(stored) if stored else {}
    return files


def read_scan(source: ImageSource, name: str, max_voxels: int, tags: list[str]) -> Scan:
    """Read what a manifest names: a NIfTI file, or the folder of a DICOM series.

    `max_voxels`: of each channel. The tag of what was read is added to `tags`, also where it is unusable; a
    series' is a hash of its files' names and tags. Raises as a source does, and ImageUnusableError.
    """
    parts = source.parts(name)
    if tuple(parts) != (name,):
        return _read_series(source, name, parts, max_voxels, tags)
    content = source.read(name, MOST_FILE_BYTES)
    tags.append(content.tag)
    if dicom.matches(content.data[:HEAD]):
        return _series([(PurePosixPath(name).name, content.data)], max_voxels)
    return read_nifti(content.data, max_voxels)


def _read_series(
    source: ImageSource, name: str, parts: Sequence[str], max_voxels: int, tags: list[str]
) -> Scan:
    """Read the files of a folder, as many at once as pay; hidden ones are no part of it."""
    seen: list[str] = []
    files = [part for part in parts if not PurePosixPath(part).name.startswith(".")]

    def contents(pool: ThreadPoolExecutor) -> Iterator[tuple[str, bytes]]:
        ahead = ReadAhead(pool, source, files, MOST_FILE_BYTES)
        size = 0
        for part, read in zip(files, ahead, strict=True):
            below = part.removeprefix(f"{name}/")
            with about(below):
                content = read.result()
            size += len(content.data)
            if size > MOST_FILE_BYTES:
                message = f"its files have more than {MOST_FILE_BYTES:,} bytes, which are allowed"
                raise ImageUnusableError(Reason.TOO_LARGE, message)
            seen.append(f"{below}\0{content.tag}\0")
            yield below, content.data
            ahead.free(content)

    with ThreadPoolExecutor(source.readers, thread_name_prefix="slices") as pool:
        try:
            return _series(contents(pool), max_voxels)
        finally:
            if seen:
                content = "".join(seen).encode(errors="surrogateescape")
                tags.append(hashlib.blake2b(content, digest_size=_TAG_BYTES).hexdigest())


def _series(files: Iterable[tuple[str, bytes]], max_voxels: int) -> Scan:
    # pydicom takes half a second to load, which a worker of NIfTI files does not spend.
    from workers.inference.volumes.series import read_series  # noqa: PLC0415

    return read_series(files, max_voxels)


def case_reader(
    source: ImageSource, max_voxels: int, card: SegmentationCard, files: Mapping[str, Mapping[str, str]]
) -> Callable[[str], tuple[Volume, Labels]]:
    """Return the function from a case's name to its values and labels; it raises ImageUnusableError.

    `files`: of each case, its label among them. `max_voxels`: of one channel.
    """

    def scan(_what: str, name: str) -> Scan:
        return read_scan(source, name, max_voxels, [])

    def read(case: str) -> tuple[Volume, Labels]:
        volume = read_volume(case, files[case], card.channels, scan)
        return volume, labels_of(scan(LABEL, files[case][LABEL]), volume, card.classes, card.values)

    return read
