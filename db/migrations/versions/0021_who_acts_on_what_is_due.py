"""Who acts on a due time, and what it waits for."""

import sqlalchemy as sa
from alembic import op

from db.schema.base import UtcDateTime

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, kind in (
        ("lease_token", sa.Text()),
        ("lease_expires_at", sa.Double()),
        ("waits_for", sa.Text()),
        ("waits_since", UtcDateTime()),
        ("not_before", sa.Double()),
    ):
        op.add_column("schedule_due", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
