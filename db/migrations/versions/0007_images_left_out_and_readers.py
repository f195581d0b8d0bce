"""Images that are left out of a manifest's rows, each with the reason, and how far readers agree."""

import sqlalchemy as sa
from alembic import op

from db.schema.base import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "image_left_out",
        sa.Column("manifest_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("image_index", sa.Text(), nullable=False),
        sa.Column("view_position", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["manifest_id"], ["manifest.id"], name=op.f("fk_image_left_out_manifest_id")),
        sa.PrimaryKeyConstraint("manifest_id", "number", name=op.f("pk_image_left_out")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "agreement_result",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("finding_id", sa.Integer(), nullable=False),
        sa.Column("statistic", sa.Text(), nullable=False),
        sa.Column("reader_a", sa.Text(), nullable=True),
        sa.Column("reader_b", sa.Text(), nullable=True),
        sa.Column("readers", sa.Integer(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=True) for name in ("kappa", "ci_low", "ci_high")),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("measured_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("statistic IN ('cohen','fleiss')", name=op.f("ck_agreement_result_statistic")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_agreement_result_run_id")),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name=op.f("fk_agreement_result_finding_id")),
        sa.PrimaryKeyConstraint("run_id", "labels", "number", name=op.f("pk_agreement_result")),
    )


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
