"""Cases of volumes: their files, what was segmented in them, and the figures of a run."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("manifest_row", sa.Column("files", sa.Text(), nullable=True))
    op.create_table(
        "volume_result",
        sa.Column("run_id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("image_id", sa.Integer(), nullable=False, autoincrement=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("size_x", "size_y", "size_z")),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("spacing_x", "spacing_y", "spacing_z")),
        sa.Column("labelled", sa.Boolean(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("mask_path", "planes_path")),
        sa.PrimaryKeyConstraint("run_id", "image_id", name="pk_volume_result"),
    )
    op.create_table(
        "segment",
        sa.Column("run_id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("image_id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("finding_id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("kind", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("voxels", "components")),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("ml", "largest_ml")),
        *(
            sa.Column(name, sa.Integer(), nullable=True)
            for name in ("box_x0", "box_y0", "box_z0", "box_x1", "box_y1", "box_z1")
        ),
        *(
            sa.Column(name, sa.Double(), nullable=True)
            for name in ("centroid_x", "centroid_y", "centroid_z", "probability_max")
        ),
        sa.Column("reference_voxels", sa.Integer(), nullable=True),
        *(
            sa.Column(name, sa.Double(), nullable=True)
            for name in ("dice", "soft_dice", "sensitivity", "specificity", "hd95_mm", "assd_mm")
        ),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('class','region')", name=op.f("ck_segment_kind")),
        sa.PrimaryKeyConstraint("run_id", "image_id", "finding_id", name="pk_segment"),
    )
    op.create_table(
        "segment_summary_result",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("finding_id", sa.Integer(), nullable=False),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("cases", sa.Integer(), nullable=False),
        sa.Column("left_out", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=True) for name in ("mean", "low", "high", "median")),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name="fk_segment_summary_result_evaluation_id"
        ),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name="fk_segment_summary_result_finding_id"),
        sa.PrimaryKeyConstraint("evaluation_id", "finding_id", "measure", name="pk_segment_summary_result"),
    )


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
