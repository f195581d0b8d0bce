"""Results that workers send."""

import sqlalchemy as sa
from alembic import op

from db.schema.base import UtcDateTime

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sending",
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("id", "run_id")),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("formats", sa.Text(), nullable=True),
        sa.Column("tls", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), server_default="due", nullable=False),
        sa.Column("attempt", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("lease_token", sa.Text(), nullable=True),
        *(sa.Column(name, sa.Double(), nullable=True) for name in ("lease_expires_at", "sent_at")),
        sa.Column("waits_for", sa.Text(), nullable=True),
        sa.Column("waits_since", UtcDateTime(), nullable=True),
        sa.Column("not_before", sa.Double(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "state IN ('due','queued','running','done','failed','cancelled')", name=op.f("ck_sending_state")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_sending_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_sending"),
        sa.UniqueConstraint("run_id", "target", name="uq_sending_run_id_target"),
    )


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
