"""What was taken of a manifest: its columns, its findings and what its uncertain labels count as."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("manifest", sa.Column("uncertain", sa.Text(), nullable=True))
    op.add_column("manifest", sa.Column("reading", sa.Text(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
