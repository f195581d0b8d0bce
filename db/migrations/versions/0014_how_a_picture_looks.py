"""How like an image is to those that the model knows."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("image_result", sa.Column("feature_distance", sa.REAL(), nullable=True))
    op.add_column("image_result", sa.Column("picture_distance", sa.REAL(), nullable=True))
    op.add_column("image_result", sa.Column("flag", sa.Text(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
