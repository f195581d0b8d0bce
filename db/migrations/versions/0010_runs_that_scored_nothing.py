"""The state of a run of which nothing could be scored: failed."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("run") as run:
        run.drop_constraint(op.f("ck_run_status"), type_="check")
        run.create_check_constraint(
            op.f("ck_run_status"),
            "status IN ('running','evaluating','complete','failed','cancelled','broken')",
        )


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
