"""Intervals that cover: how each was made, and of how many patients."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # With its check in the same statement: for a check alone SQLite would have the whole table copied.
    op.execute(
        "ALTER TABLE evaluation_result ADD COLUMN ci_method TEXT "
        "CONSTRAINT ck_evaluation_result_ci_method CHECK (ci_method IN ('delong','obuchowski','score'))"
    )
    op.add_column("evaluation_result", sa.Column("patients", sa.Integer(), nullable=True))
    op.add_column("evaluation_result", sa.Column("without_patient", sa.Integer(), nullable=True))
    op.add_column("comparison_result", sa.Column("patients", sa.Integer(), nullable=True))
    # Until now there was one method, and each image counted as independent.
    op.execute("UPDATE evaluation_result SET ci_method = 'delong' WHERE ci_low IS NOT NULL")


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
