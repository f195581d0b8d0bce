"""What a clinician asks: fixed points, decision curves, first images, and thresholds tested elsewhere."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from db.schema.base import UtcDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _table(
        "fixed_result",
        [sa.Column("fixed", sa.Text(), nullable=False)],
        sa.Column("level", sa.Double(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=True) for name in ("threshold", "value", "low", "high")),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint("fixed IN ('specificity','sensitivity')", name=op.f("ck_fixed_result_fixed")),
    )
    _table(
        "net_benefit_point",
        [sa.Column("threshold", sa.Double(), nullable=False)],
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("tp", "fp")),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("model", "everyone")),
    )
    _table(
        "first_images_result",
        [sa.Column("images", sa.Integer(), nullable=False)],
        sa.Column("positive", sa.Integer(), nullable=False),
        sa.Column("precision", sa.Double(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=True) for name in ("low", "high", "lift", "found")),
    )
    shares = [
        f"{share}{bound}"
        for share in ("sensitivity", "specificity", "ppv", "npv")
        for bound in ("", "_low", "_high")
    ]
    references = {"run_id": "run", "chosen_on": "evaluation", "finding_id": "finding"}
    op.create_table(
        "operating_result",
        *(sa.Column(name, sa.Integer(), nullable=False) for name in references),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("label_manifest_id", sa.Integer(), nullable=False),
        sa.Column("tested_at", UtcDateTime(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=True) for name in ("tp", "fp", "tn", "fn")),
        *(sa.Column(name, sa.Double(), nullable=True) for name in (*shares, "f1", "accuracy", "prevalence")),
        sa.Column("reason", sa.Text(), nullable=True),
        *(
            sa.ForeignKeyConstraint([name], [f"{table}.id"], name=op.f(f"fk_operating_result_{name}"))
            for name, table in (references | {"label_manifest_id": "manifest"}).items()
        ),
        sa.PrimaryKeyConstraint(*references, "kind", name=op.f("pk_operating_result")),
    )


def _table(name: str, key: Sequence[sa.Column[str | float | int]], *rest: sa.schema.SchemaItem) -> None:
    """Create a table whose key is an evaluation, a finding and one column more."""
    op.create_table(
        name,
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("finding_id", sa.Integer(), nullable=False),
        *key,
        *rest,
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name=op.f(f"fk_{name}_evaluation_id")),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name=op.f(f"fk_{name}_finding_id")),
        sa.PrimaryKeyConstraint(
            "evaluation_id", "finding_id", *(column.name for column in key), name=op.f(f"pk_{name}")
        ),
    )


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
