"""Whether a night's images are like a baseline's."""

import sqlalchemy as sa
from alembic import op

from db.schema.base import UtcDateTime

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "drift_check",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("baseline_id", sa.Integer(), nullable=False),
        sa.Column("measured_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_drift_check_run_id"),
        sa.ForeignKeyConstraint(["baseline_id"], ["run.id"], name="fk_drift_check_baseline_id"),
        sa.PrimaryKeyConstraint("id", name="pk_drift_check"),
    )
    op.create_table(
        "drift_result",
        sa.Column("drift_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("finding_id", sa.Integer(), nullable=True),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("n_baseline", sa.Integer(), nullable=False),
        *(
            sa.Column(name, sa.Double(), nullable=True)
            for name in ("value", "value_baseline", "psi", "ks", "p", "p_holm")
        ),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["drift_id"], ["drift_check.id"], name="fk_drift_result_drift_id"),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name="fk_drift_result_finding_id"),
        sa.PrimaryKeyConstraint("drift_id", "number", name="pk_drift_result"),
    )
    op.add_column("image_result", sa.Column("brightness", sa.REAL(), nullable=True))
    op.add_column("image_result", sa.Column("contrast", sa.REAL(), nullable=True))
    op.add_column("schedule", sa.Column("baseline_id", sa.Integer(), nullable=True))
    with op.batch_alter_table("alert") as alert:
        alert.drop_constraint(op.f("ck_alert_kind"), type_="check")
        alert.create_check_constraint(op.f("ck_alert_kind"), "kind IN ('loss','failed','drift')")
    # With its reference in the same statement: for a constraint alone SQLite would have the table copied.
    op.execute(
        "ALTER TABLE alert ADD COLUMN drift_id INTEGER "
        "CONSTRAINT fk_alert_drift_id REFERENCES drift_check (id)"
    )


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
