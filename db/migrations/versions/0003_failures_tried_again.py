"""Failures that were tried again: what became of an image before, in the same run."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "earlier_failure",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("retried_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_earlier_failure_run_id")),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_earlier_failure_image_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_earlier_failure")),
    )
    op.create_index("ix_earlier_failure_run_id", "earlier_failure", ["run_id"])


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
