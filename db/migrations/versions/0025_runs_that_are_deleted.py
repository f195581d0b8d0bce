"""Runs that are deleted, and an index by which their batches are."""

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
    op.create_index("ix_image_result_batch_id", "image_result", ["batch_id"])


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
