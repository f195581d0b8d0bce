"""Intervals of the points of curves; evaluations that are there keep none."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for bound in ("low", "high"):
        op.add_column("curve_point", sa.Column(f"y_{bound}", sa.Double(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
