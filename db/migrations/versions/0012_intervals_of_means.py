"""Intervals of the Brier score and of the mean IoU; evaluations that are there keep none."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table, figure in {"evaluation_result": "brier", "localisation_result": "mean_iou"}.items():
        for bound in ("low", "high"):
            op.add_column(table, sa.Column(f"{figure}_{bound}", sa.Double(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
