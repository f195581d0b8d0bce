"""Of each image which bytes were read, and of each run what it waits for."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("image_result", sa.Column("tag", sa.Text))
    op.add_column("earlier_failure", sa.Column("tag", sa.Text))
    op.drop_index("ix_earlier_failure_run_id", "earlier_failure")
    op.create_index("ix_earlier_failure_run_id", "earlier_failure", ["run_id", "image_id"])
    op.add_column("run", sa.Column("waits_for", sa.Text))


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
