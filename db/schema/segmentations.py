"""The tables of segmented volumes: cases, what was found of each class and region, and a run's figures."""

from typing import Final

from sqlalchemy import Boolean, CheckConstraint, Column, Double, Integer, Table, Text

from db.schema.base import metadata, reference

MEASURES: Final = ("dice", "soft_dice", "sensitivity", "specificity", "hd95_mm", "assd_mm")
"""What a segment is compared with its label by."""

volume_result = Table(
    "volume_result",
    metadata,
    Column("run_id", Integer, primary_key=True, autoincrement=False),
    Column("image_id", Integer, primary_key=True, autoincrement=False),
    *(Column(name, Integer, nullable=False) for name in ("size_x", "size_y", "size_z")),
    *(Column(name, Double, nullable=False) for name in ("spacing_x", "spacing_y", "spacing_z")),  # mm
    Column("labelled", Boolean, nullable=False),
    # Below the outputs' folder; NULL where the disk refused them.
    Column("mask_path", Text),
    Column("planes_path", Text),
)

segment = Table(
    "segment",
    metadata,
    # No foreign keys, as `score` has none: written with the image_result that they belong to.
    Column("run_id", Integer, primary_key=True, autoincrement=False),
    Column("image_id", Integer, primary_key=True, autoincrement=False),
    Column("finding_id", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    *(Column(name, Integer, nullable=False) for name in ("voxels", "components")),
    *(Column(name, Double, nullable=False) for name in ("ml", "largest_ml")),  # by the affine
    # First and last voxel; NULL where nothing was found.
    *(Column(name, Integer) for name in ("box_x0", "box_y0", "box_z0", "box_x1", "box_y1", "box_z1")),
    *(Column(name, Double) for name in ("centroid_x", "centroid_y", "centroid_z")),  # mm, by the affine
    Column("probability_max", Double),  # of a class; NULL for a region
    Column("reference_voxels", Integer),  # of the label; NULL without one
    *(Column(name, Double) for name in MEASURES),
    Column("reason", Text),  # why measures are NULL
    CheckConstraint("kind IN ('class','region')", name="kind"),
)

segment_summary_result = Table(
    "segment_summary_result",
    metadata,
    reference("evaluation_id", "evaluation.id", primary_key=True),
    reference("finding_id", "finding.id", primary_key=True),
    Column("measure", Text, primary_key=True),
    Column("cases", Integer, nullable=False),  # that have the measure
    Column("left_out", Integer, nullable=False),  # labelled cases in which it is not defined
    *(Column(name, Double) for name in ("mean", "low", "high", "median")),
    Column("reason", Text),
)
