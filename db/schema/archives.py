"""The tables of what people supply: archives of images, manifests with labels, and drawn boxes.

Labels are one character per finding of the manifest ("1", "0", "-" unknown): 112,120 rows instead of 1.6
million; the views spread them out.
"""

from sqlalchemy import Column, Double, Integer, SmallInteger, Table, Text, UniqueConstraint

from db.schema.base import UtcDateTime, id_column, metadata, reference

finding = Table("finding", metadata, id_column(), Column("name", Text, nullable=False, unique=True))

archive = Table("archive", metadata, id_column(), Column("root", Text, nullable=False, unique=True))

image = Table(
    "image",
    metadata,
    id_column(),
    reference("archive_id", "archive.id"),
    Column("image_index", Text, nullable=False),
    # In this order it also finds an image by its name alone, as joins of the views do.
    UniqueConstraint("image_index", "archive_id"),
)

manifest = Table(
    "manifest",
    metadata,
    id_column(),
    reference("archive_id", "archive.id"),
    Column("fingerprint", Text, nullable=False),  # SHA-256 of the file and of how it was read
    Column("path", Text, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # NULL where an earlier version wrote the manifest, or where an import has no labels.
    Column("uncertain", Text),  # what an uncertain label counts as: ignore, positive or negative
    Column("reading", Text),  # what was taken of the file and what was not, as JSON
    UniqueConstraint("archive_id", "fingerprint"),
)

manifest_finding = Table(
    "manifest_finding",
    metadata,
    reference("manifest_id", "manifest.id", primary_key=True),
    reference("finding_id", "finding.id", primary_key=True),
    Column("position", SmallInteger, nullable=False),  # of its character in manifest_row.labels
)

manifest_row = Table(
    "manifest_row",
    metadata,
    reference("manifest_id", "manifest.id", primary_key=True),
    Column("row_number", Integer, primary_key=True),
    reference("image_id", "image.id"),
    Column("patient_id", Text),
    Column("follow_up", Integer),
    Column("view_position", Text),
    Column("sex", Text),
    Column("age_years", Double),
    Column("labels", Text, nullable=False),
    Column("files", Text),  # of a case of volumes, as JSON: what -> path; NULL of other images
    UniqueConstraint("manifest_id", "image_id"),
    sqlite_with_rowid=False,
)

image_left_out = Table(
    "image_left_out",
    metadata,
    reference("manifest_id", "manifest.id", primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("image_index", Text, nullable=False),
    Column("view_position", Text),
    Column("reason", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""Images of a manifest's file that are none of its rows, as nobody wanted them scored."""

box_set = Table(
    "box_set",
    metadata,
    id_column(),
    Column("fingerprint", Text, nullable=False, unique=True),  # SHA-256 of the file and of how it was read
    Column("path", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

box = Table(
    "box",
    metadata,
    reference("box_set_id", "box_set.id", primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("image_index", Text, nullable=False),
    reference("finding_id", "finding.id"),
    Column("x", Double, nullable=False),  # pixels of the original image, from its upper left corner
    Column("y", Double, nullable=False),
    Column("width", Double, nullable=False),
    Column("height", Double, nullable=False),
)
