"""Evaluations that last: figures, comparisons, boxes, published AUROCs, schedules and alerts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import insert as upsert

from db.reference_aurocs import PUBLISHED

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _add_reference(table: str, target: str) -> None:
    """Add a nullable column with its foreign key; on SQLite Alembic itself would copy the whole table."""
    op.execute(
        f"ALTER TABLE {table} ADD COLUMN {target}_id INTEGER "
        f"CONSTRAINT fk_{table}_{target}_id REFERENCES {target} (id)"
    )


def _publish() -> None:
    """Write the published AUROCs; their findings may be there already."""
    finding = sa.table("finding", sa.column("id"), sa.column("name"))
    connection = op.get_bind()
    names = sorted({published.finding for published in PUBLISHED})
    connection.execute(
        upsert(
            sa.Table(
                "finding",
                sa.MetaData(),
                sa.Column("id", sa.Integer, primary_key=True),
                sa.Column("name", sa.Text),
            )
        ).on_conflict_do_nothing(),
        [{"name": name} for name in names],
    )
    ids = {row.name: row.id for row in connection.execute(sa.select(finding.c.name, finding.c.id))}
    op.bulk_insert(
        sa.table(
            "published_auroc",
            *map(sa.column, ("source", "finding_id", "auroc", "ci_low", "ci_high", "citation")),
        ),
        [
            {
                "source": published.source,
                "finding_id": ids[published.finding],
                "auroc": published.auroc,
                "ci_low": published.ci_low,
                "ci_high": published.ci_high,
                "citation": published.citation,
            }
            for published in PUBLISHED
        ],
    )


def upgrade() -> None:
    op.create_table(
        "box_set",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_box_set")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_box_set_fingerprint")),
    )
    op.create_table(
        "schedule",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cron", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("margin", sa.Double(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule")),
    )
    op.create_index(
        "uq_schedule_name",
        "schedule",
        ["name"],
        unique=True,
        sqlite_where=sa.text("removed_at IS NULL"),
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "box",
        sa.Column("box_set_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("image_index", sa.Text(), nullable=False),
        sa.Column("finding_id", sa.Integer(), nullable=False),
        sa.Column("x", sa.Double(), nullable=False),
        sa.Column("y", sa.Double(), nullable=False),
        sa.Column("width", sa.Double(), nullable=False),
        sa.Column("height", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["box_set_id"], ["box_set.id"], name=op.f("fk_box_box_set_id")),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name=op.f("fk_box_finding_id")),
        sa.PrimaryKeyConstraint("box_set_id", "number", name=op.f("pk_box")),
    )
    op.create_table(
        "published_auroc",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("finding_id", sa.Integer(), nullable=False),
        sa.Column("auroc", sa.Double(), nullable=False),
        sa.Column("ci_low", sa.Double(), nullable=True),
        sa.Column("ci_high", sa.Double(), nullable=True),
        sa.Column("citation", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name=op.f("fk_published_auroc_finding_id")),
        sa.PrimaryKeyConstraint("source", "finding_id", name=op.f("pk_published_auroc")),
    )
    op.create_table(
        "comparison",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_a", sa.Integer(), nullable=False),
        sa.Column("run_b", sa.Integer(), nullable=False),
        sa.Column("label_manifest_id", sa.Integer(), nullable=False),
        sa.Column("label_set", sa.Text(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("compared_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["label_manifest_id"], ["manifest.id"], name=op.f("fk_comparison_label_manifest_id")
        ),
        sa.ForeignKeyConstraint(["run_a"], ["run.id"], name=op.f("fk_comparison_run_a")),
        sa.ForeignKeyConstraint(["run_b"], ["run.id"], name=op.f("fk_comparison_run_b")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comparison")),
    )
    op.create_table(
        "alert",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("schedule_id", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("evaluation_id", sa.Integer(), nullable=True),
        sa.Column("comparison_id", sa.Integer(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tried_at", sa.Double(), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('loss','failed')", name=op.f("ck_alert_kind")),
        sa.ForeignKeyConstraint(["comparison_id"], ["comparison.id"], name=op.f("fk_alert_comparison_id")),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name=op.f("fk_alert_evaluation_id")),
        sa.ForeignKeyConstraint(["schedule_id"], ["schedule.id"], name=op.f("fk_alert_schedule_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert")),
        sa.UniqueConstraint("evaluation_id", "kind", name=op.f("uq_alert_evaluation_id_kind")),
        sa.UniqueConstraint("schedule_id", "due_at", "kind", name=op.f("uq_alert_schedule_id_due_at_kind")),
    )
    op.create_table(
        "calibration_bin",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("finding_id", sa.Integer(), nullable=False),
        sa.Column("bin", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("lower", sa.Double(), nullable=False),
        sa.Column("upper", sa.Double(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("mean_probability", sa.Double(), nullable=True),
        sa.Column("share_positive", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_calibration_bin_evaluation_id")
        ),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name=op.f("fk_calibration_bin_finding_id")),
        sa.PrimaryKeyConstraint("evaluation_id", "finding_id", "bin", name=op.f("pk_calibration_bin")),
    )
    op.create_table(
        "comparison_result",
        sa.Column("comparison_id", sa.Integer(), nullable=False),
        sa.Column("finding_id", sa.Integer(), nullable=False),
        sa.Column("n_positive", sa.Integer(), nullable=False),
        sa.Column("n_negative", sa.Integer(), nullable=False),
        sa.Column("auroc_a", sa.Double(), nullable=True),
        sa.Column("auroc_b", sa.Double(), nullable=True),
        sa.Column("difference", sa.Double(), nullable=True),
        sa.Column("ci_low", sa.Double(), nullable=True),
        sa.Column("ci_high", sa.Double(), nullable=True),
        sa.Column("z", sa.Double(), nullable=True),
        sa.Column("p", sa.Double(), nullable=True),
        sa.Column("p_holm", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["comparison_id"], ["comparison.id"], name=op.f("fk_comparison_result_comparison_id")
        ),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name=op.f("fk_comparison_result_finding_id")),
        sa.PrimaryKeyConstraint("comparison_id", "finding_id", name=op.f("pk_comparison_result")),
    )
    op.create_table(
        "curve_point",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("finding_id", sa.Integer(), nullable=False),
        sa.Column("curve", sa.Text(), nullable=False),
        sa.Column("point", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("x", sa.Double(), nullable=False),
        sa.Column("y", sa.Double(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=True),
        sa.CheckConstraint("curve IN ('roc','precision_recall')", name=op.f("ck_curve_point_curve")),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_curve_point_evaluation_id")
        ),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name=op.f("fk_curve_point_finding_id")),
        sa.PrimaryKeyConstraint("evaluation_id", "finding_id", "curve", "point", name=op.f("pk_curve_point")),
    )
    op.create_table(
        "localisation_result",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("finding_id", sa.Integer(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("hits", sa.Integer(), nullable=False),
        sa.Column("pointing", sa.Double(), nullable=True),
        sa.Column("ci_low", sa.Double(), nullable=True),
        sa.Column("ci_high", sa.Double(), nullable=True),
        sa.Column("mean_iou", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_localisation_result_evaluation_id")
        ),
        sa.ForeignKeyConstraint(
            ["finding_id"], ["finding.id"], name=op.f("fk_localisation_result_finding_id")
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "finding_id", name=op.f("pk_localisation_result")),
    )
    op.create_table(
        "schedule_due",
        sa.Column("schedule_id", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("evaluation_id", sa.Integer(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('due','begun','nothing_new','failed')", name=op.f("ck_schedule_due_state")
        ),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_schedule_due_evaluation_id")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_schedule_due_run_id")),
        sa.ForeignKeyConstraint(["schedule_id"], ["schedule.id"], name=op.f("fk_schedule_due_schedule_id")),
        sa.PrimaryKeyConstraint("schedule_id", "due_at", name=op.f("pk_schedule_due")),
    )
    op.create_table(
        "threshold_result",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("subgroup", sa.Text(), nullable=False),
        sa.Column("finding_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=True),
        sa.Column("tp", sa.Integer(), nullable=True),
        sa.Column("fp", sa.Integer(), nullable=True),
        sa.Column("tn", sa.Integer(), nullable=True),
        sa.Column("fn", sa.Integer(), nullable=True),
        sa.Column("sensitivity", sa.Double(), nullable=True),
        sa.Column("sensitivity_low", sa.Double(), nullable=True),
        sa.Column("sensitivity_high", sa.Double(), nullable=True),
        sa.Column("specificity", sa.Double(), nullable=True),
        sa.Column("specificity_low", sa.Double(), nullable=True),
        sa.Column("specificity_high", sa.Double(), nullable=True),
        sa.Column("ppv", sa.Double(), nullable=True),
        sa.Column("ppv_low", sa.Double(), nullable=True),
        sa.Column("ppv_high", sa.Double(), nullable=True),
        sa.Column("npv", sa.Double(), nullable=True),
        sa.Column("npv_low", sa.Double(), nullable=True),
        sa.Column("npv_high", sa.Double(), nullable=True),
        sa.Column("f1", sa.Double(), nullable=True),
        sa.Column("accuracy", sa.Double(), nullable=True),
        sa.Column("prevalence", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('card','0.5','youden','sensitivity')", name=op.f("ck_threshold_result_kind")
        ),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_threshold_result_evaluation_id")
        ),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name=op.f("fk_threshold_result_finding_id")),
        sa.PrimaryKeyConstraint(
            "evaluation_id", "subgroup", "finding_id", "kind", name=op.f("pk_threshold_result")
        ),
    )
    op.add_column("batch", sa.Column("engine", sa.Text(), nullable=True))
    op.add_column("evaluation", sa.Column("bootstrap", sa.Integer(), server_default="0", nullable=False))
    op.add_column("evaluation", sa.Column("wanted_sensitivity", sa.Double(), nullable=True))
    _add_reference("evaluation", "box_set")
    _add_reference("evaluation", "schedule")
    op.add_column("evaluation", sa.Column("message", sa.Text(), nullable=True))
    op.add_column("evaluation_result", sa.Column("calibration_error", sa.Double(), nullable=True))
    op.add_column("evaluation_result", sa.Column("bootstrap_low", sa.Double(), nullable=True))
    op.add_column("evaluation_result", sa.Column("bootstrap_high", sa.Double(), nullable=True))
    op.add_column("evaluation_result", sa.Column("platt_slope", sa.Double(), nullable=True))
    op.add_column("evaluation_result", sa.Column("platt_intercept", sa.Double(), nullable=True))
    op.add_column("evaluation_result", sa.Column("reason", sa.Text(), nullable=True))
    op.add_column("run", sa.Column("only_new", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    _add_reference("run", "schedule")
    op.add_column("run", sa.Column("calibrated_by", sa.Integer(), nullable=True))
    op.add_column("score", sa.Column("calibrated", sa.REAL(), nullable=True))
    _publish()


def downgrade() -> None:
    raise NotImplementedError("a database is upgraded only; to go back, restore the copy made before")
