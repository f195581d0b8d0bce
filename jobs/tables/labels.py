"""A version of the truth: a CSV of labels for a run's images, stored beside the scores, never among them."""

from collections.abc import Sequence
from pathlib import Path

from config.findings import FINDINGS
from db.database import Connection
from db.manifests import count_common_images, find_or_write_manifest, manifest_of
from jobs.errors import InputError
from jobs.tables.manifest import Manifest
from jobs.tables.place import Place
from jobs.tables.reading import ReadOptions

OWN = "manifest"
"""The label set of a run's own manifest."""


class LabelsError(InputError):
    """The labels are not of this run's images."""


def open_labels(
    path: Path,
    read: ReadOptions | None = None,
    findings: Sequence[str] = FINDINGS,
    root: str = "",
    origin: Place | None = None,
) -> Manifest:
    """Open a CSV of labels of a model's findings, which is a manifest.

    `root` is that of the run's images: a public set's images are named as they lie below it. `origin`: where
    it lies, if `path` is a copy.

    Raises TableError or LabelsError where it is not.
    """
    labels = Manifest(path, read, findings=findings, root=root, origin=origin)
    if not labels.findings:
        raise LabelsError(f"{path}: no column is a finding's; name them with --finding-column COLUMN=FINDING")
    return labels


def store_labels(connection: Connection, run_id: int, labels: Manifest) -> int:
    """Return the id of the label set, writing its rows unless the same file was read before.

    Raises TableError at a bad row, LabelsError where not one image is of the run's manifest, and
    UnknownRunError if there is no such run.
    """
    own = manifest_of(connection, run_id)
    label_manifest_id, rows = find_or_write_manifest(
        connection,
        archive=own.archive_id,
        fingerprint=labels.fingerprint(),
        path=labels.origin,
        findings=labels.findings,
        rows=labels,
        reading=labels.reading,
    )
    if not count_common_images(connection, label_manifest_id, own.manifest_id):
        raise LabelsError(
            f"{labels.path}: none of its {rows:,} images is one of run {run_id}; they must be named as in "
            "the run's own manifest"
        )
    return label_manifest_id
