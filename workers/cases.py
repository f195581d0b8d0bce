"""The cases of a manifest of volumes for the numeric code, which knows neither sources nor manifests."""

import json
from collections.abc import Callable, Mapping

from config.cards.segmentation import SegmentationCard
from jobs.sources.source import ImageSource
from jobs.tables.case_files import LABEL
from workers.inference.volumes.nifti import MOST_FILE_BYTES, Scan, read_nifti
from workers.inference.volumes.volume import Labels, Volume, labels_of, read_volume


def case_files_of(stored: str | None) -> dict[str, str]:
    """Return a manifest row's files, by what they are."""
    files: dict[str, str] = json.loads(stored) if stored else {}
    return files


def case_reader(
    source: ImageSource, max_voxels: int, card: SegmentationCard, files: Mapping[str, Mapping[str, str]]
) -> Callable[[str], tuple[Volume, Labels]]:
    """Return the function from a case's name to its values and labels; it raises ImageUnusableError.

    `files`: of each case, its label among them. `max_voxels`: of one channel.
    """

    def scan(_what: str, name: str) -> Scan:
        return read_nifti(source.read(name, MOST_FILE_BYTES).data, max_voxels)

    def read(case: str) -> tuple[Volume, Labels]:
        volume = read_volume(case, files[case], card.channels, scan)
        return volume, labels_of(scan(LABEL, files[case][LABEL]), volume, card.classes)

    return read
