"""A version of the truth: a CSV of labels for a run's images, stored beside the scores and never in them."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Connection, func, select

from db.errors import UnknownRunError
from db.manifests import find_or_write_manifest
from db.schema.archives import manifest as manifest_table
from db.schema.archives import manifest_row
from db.schema.runs import run
from jobs.errors import JobsError
from jobs.submit import row_values
from jobs.tables.manifest import Manifest

OWN = "manifest"
"""The label set of a run's own manifest."""


class LabelsError(JobsError):
    """The labels are not of this run's images."""


def open_labels(path: Path, image_column: str | None, finding_columns: Mapping[str, str] | None) -> Manifest:
    """Open a CSV of labels, which is a manifest; raise ManifestError or LabelsError where it is none."""
    labels = Manifest(path, image_column=image_column, finding_columns=finding_columns)
    if not labels.findings:
        raise LabelsError(f"{path}: no column is a finding's; name them with --finding-column COLUMN=FINDING")
    return labels


def store_labels(connection: Connection, run_id: int, labels: Manifest) -> int:
    """Give the id of the label set, writing its rows unless the same file was read before.

    Raises ManifestError at a bad row, and LabelsError where not one image is of the run's archive.
    """
    known = connection.execute(
        select(manifest_table.c.archive_id, run.c.manifest_id)
        .join(run, run.c.manifest_id == manifest_table.c.id)
        .where(run.c.id == run_id)
    ).first()
    if known is None:
        raise UnknownRunError(f"there is no run {run_id}; see: nightread status")
    label_manifest_id, rows = find_or_write_manifest(
        connection,
        archive=known.archive_id,
        fingerprint=labels.fingerprint(),
        path=str(labels.path.resolve()),
        findings=labels.findings,
        rows=row_values(labels),
    )
    own = manifest_row.alias()
    common = connection.execute(
        select(func.count())
        .select_from(manifest_row)
        .join(own, own.c.image_id == manifest_row.c.image_id)
        .where(manifest_row.c.manifest_id == label_manifest_id, own.c.manifest_id == known.manifest_id)
    ).scalar_one()
    if not common:
        raise LabelsError(
            f"{labels.path}: none of its {rows:,} images is one of run {run_id}; they must be named as in "
            "the run's own manifest"
        )
    return label_manifest_id
