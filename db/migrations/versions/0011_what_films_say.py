"""What a DICOM film says of its picture: how its values became greys, and the distance of its pixels."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("image_result", sa.Column("greyscale", sa.Text(), nullable=True))
    op.add_column("image_result", sa.Column("padded", sa.Boolean(), nullable=True))
    op.add_column("image_result", sa.Column("spacing_down", sa.Double(), nullable=True))
    op.add_column("image_result", sa.Column("spacing_across", sa.Double(), nullable=True))
    op.add_column("image_result", sa.Column("spacing", sa.Text(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
