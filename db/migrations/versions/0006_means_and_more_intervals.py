"""Means of AUROCs that are kept with their intervals; intervals of average precision and of calibration."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_EARLIER = """
INSERT INTO mean_result (evaluation_id, subgroup, findings, mean_auroc)
SELECT evaluation_id, subgroup, COUNT(area), AVG(area)
FROM (SELECT evaluation_id, subgroup,
             CASE WHEN n_positive >= 10 AND n_negative >= 10 AND ci_low IS NOT NULL THEN auroc END AS area
      FROM evaluation_result) AS taking_part
GROUP BY evaluation_id, subgroup
"""


def upgrade() -> None:
    op.create_table(
        "mean_result",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("subgroup", sa.Text(), nullable=False),
        sa.Column("findings", sa.SmallInteger(), nullable=False),
        sa.Column("mean_auroc", sa.Double(), nullable=True),
        sa.Column("ci_low", sa.Double(), nullable=True),
        sa.Column("ci_high", sa.Double(), nullable=True),
        sa.Column("left_out", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_mean_result_evaluation_id")
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "subgroup", name=op.f("pk_mean_result")),
    )
    op.execute(_EARLIER)
    for table, columns in {
        "evaluation_result": ("average_precision_low", "average_precision_high"),
        "calibration_bin": ("share_low", "share_high"),
    }.items():
        for column in columns:
            op.add_column(table, sa.Column(column, sa.Double(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
