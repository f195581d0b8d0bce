"""What deleted runs had counted, so that no counter falls with them."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "counted",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("counter", "stage", "reason")),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("counter", "stage", "reason", name=op.f("pk_counted")),
    )


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
