"""Images of a manifest's file that are left out of its rows, each with the reason."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "image_left_out",
        sa.Column("manifest_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("image_index", sa.Text(), nullable=False),
        sa.Column("view_position", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["manifest_id"], ["manifest.id"], name=op.f("fk_image_left_out_manifest_id_manifest")
        ),
        sa.PrimaryKeyConstraint("manifest_id", "number", name=op.f("pk_image_left_out")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
