"""Runs that are deleted, an index by which their batches are, and the reasons in that of failures."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("run") as run:
        run.drop_constraint(op.f("ck_run_status"), type_="check")
        run.create_check_constraint(
            op.f("ck_run_status"),
            "status IN ('running','evaluating','complete','failed','cancelled','broken',"
            "'deleting','deleted')",
        )
    op.drop_index("ix_image_result_failed", "image_result")
    op.create_index(
        "ix_image_result_failed",
        "image_result",
        ["run_id", "image_id", "stage", "reason"],
        sqlite_where=sa.text("status = 'failed'"),
        postgresql_where=sa.text("status = 'failed'"),
    )
    op.create_index("ix_image_result_batch_id", "image_result", ["batch_id"])


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
