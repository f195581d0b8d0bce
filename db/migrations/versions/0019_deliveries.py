"""Which results were sent where."""

import sqlalchemy as sa
from alembic import op

from db.schema.base import UtcDateTime

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("kind", "finding", "target")),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("sop_instance_uid", "status")),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        *(sa.Column(name, UtcDateTime(), nullable=True) for name in ("tried_at", "sent_at")),
        sa.CheckConstraint(
            "state IN ('pending','sent','refused','unusable')", name=op.f("ck_delivery_state")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_delivery_run_id"),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_delivery_image_id"),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
        sa.UniqueConstraint(
            *("run_id", "target", "image_id", "kind", "finding"),
            name="uq_delivery_run_id_target_image_id_kind_finding",
        ),
    )
    op.create_index(
        "ix_delivery_pending",
        "delivery",
        ["run_id", "target"],
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
