"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "archive",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archive")),
        sa.UniqueConstraint("root", name=op.f("uq_archive_root")),
    )
    op.create_table(
        "finding",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding")),
        sa.UniqueConstraint("name", name=op.f("uq_finding_name")),
    )
    op.create_table(
        "model",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("card_sha256", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")),
        sa.UniqueConstraint("card_sha256", name=op.f("uq_model_card_sha256")),
    )
    op.create_table(
        "score",
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("image_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("finding_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("probability", sa.REAL(), nullable=False),
        sa.Column("peak_x", sa.Integer(), nullable=True),
        sa.Column("peak_y", sa.Integer(), nullable=True),
        sa.Column("box_x", sa.Integer(), nullable=True),
        sa.Column("box_y", sa.Integer(), nullable=True),
        sa.Column("box_width", sa.Integer(), nullable=True),
        sa.Column("box_height", sa.Integer(), nullable=True),
        sa.Column("overlay_path", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "image_id", "finding_id", name=op.f("pk_score")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "image",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("archive_id", sa.Integer(), nullable=False),
        sa.Column("image_index", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["archive_id"], ["archive.id"], name=op.f("fk_image_archive_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image")),
        sa.UniqueConstraint("image_index", "archive_id", name=op.f("uq_image_image_index_archive_id")),
    )
    op.create_table(
        "manifest",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("archive_id", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["archive_id"], ["archive.id"], name=op.f("fk_manifest_archive_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_manifest")),
        sa.UniqueConstraint("archive_id", "fingerprint", name=op.f("uq_manifest_archive_id_fingerprint")),
    )
    op.create_table(
        "model_finding",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("finding_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name=op.f("fk_model_finding_finding_id")),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_model_finding_model_id")),
        sa.PrimaryKeyConstraint("model_id", "finding_id", name=op.f("pk_model_finding")),
    )
    op.create_table(
        "manifest_finding",
        sa.Column("manifest_id", sa.Integer(), nullable=False),
        sa.Column("finding_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name=op.f("fk_manifest_finding_finding_id")),
        sa.ForeignKeyConstraint(
            ["manifest_id"], ["manifest.id"], name=op.f("fk_manifest_finding_manifest_id")
        ),
        sa.PrimaryKeyConstraint("manifest_id", "finding_id", name=op.f("pk_manifest_finding")),
    )
    op.create_table(
        "manifest_row",
        sa.Column("manifest_id", sa.Integer(), nullable=False),
        sa.Column("row_number", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("patient_id", sa.Text(), nullable=True),
        sa.Column("follow_up", sa.Integer(), nullable=True),
        sa.Column("view_position", sa.Text(), nullable=True),
        sa.Column("sex", sa.Text(), nullable=True),
        sa.Column("age_years", sa.Double(), nullable=True),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_manifest_row_image_id")),
        sa.ForeignKeyConstraint(["manifest_id"], ["manifest.id"], name=op.f("fk_manifest_row_manifest_id")),
        sa.PrimaryKeyConstraint("manifest_id", "row_number", name=op.f("pk_manifest_row")),
        sa.UniqueConstraint("manifest_id", "image_id", name=op.f("uq_manifest_row_manifest_id_image_id")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("manifest_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("batches", sa.Integer(), nullable=False),
        sa.Column("heatmaps", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.CheckConstraint("heatmaps IN ('none','positive','all')", name=op.f("ck_run_heatmaps")),
        sa.CheckConstraint(
            "status IN ('running','evaluating','complete','cancelled','broken')", name=op.f("ck_run_status")
        ),
        sa.ForeignKeyConstraint(["manifest_id"], ["manifest.id"], name=op.f("fk_run_manifest_id")),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_run_model_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    op.create_table(
        "batch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("first_row", sa.Integer(), nullable=False),
        sa.Column("last_row", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempt", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("lease_expires_at", sa.Double(), nullable=True),
        sa.Column("sent_at", sa.Double(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("scored", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "state IN ('pending','queued','running','done','split')", name=op.f("ck_batch_state")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_batch_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
    )
    with op.batch_alter_table("batch", schema=None) as batch_op:
        batch_op.create_index(
            "ix_batch_open",
            ["state", "id"],
            unique=False,
            sqlite_where=sa.text("state IN ('pending','queued','running')"),
            postgresql_where=sa.text("state IN ('pending','queued','running')"),
        )
        batch_op.create_index("ix_batch_run_id_state", ["run_id", "state"], unique=False)

    op.create_table(
        "evaluation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("label_manifest_id", sa.Integer(), nullable=False),
        sa.Column("label_set", sa.Text(), nullable=False),
        sa.Column("closes_run", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), server_default="due", nullable=False),
        sa.Column("attempt", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("lease_expires_at", sa.Double(), nullable=True),
        sa.Column("sent_at", sa.Double(), nullable=True),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('due','queued','running','done','failed')", name=op.f("ck_evaluation_state")
        ),
        sa.ForeignKeyConstraint(
            ["label_manifest_id"], ["manifest.id"], name=op.f("fk_evaluation_label_manifest_id")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_evaluation_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation")),
    )
    with op.batch_alter_table("evaluation", schema=None) as batch_op:
        batch_op.create_index(
            "uq_evaluation_closing",
            ["run_id"],
            unique=True,
            sqlite_where=sa.text("closes_run"),
            postgresql_where=sa.text("closes_run"),
        )

    op.create_table(
        "evaluation_result",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("subgroup", sa.Text(), nullable=False),
        sa.Column("finding_id", sa.Integer(), nullable=False),
        sa.Column("n_positive", sa.Integer(), nullable=False),
        sa.Column("n_negative", sa.Integer(), nullable=False),
        sa.Column("auroc", sa.Double(), nullable=True),
        sa.Column("ci_low", sa.Double(), nullable=True),
        sa.Column("ci_high", sa.Double(), nullable=True),
        sa.Column("average_precision", sa.Double(), nullable=True),
        sa.Column("threshold", sa.Double(), nullable=True),
        sa.Column("sensitivity", sa.Double(), nullable=True),
        sa.Column("specificity", sa.Double(), nullable=True),
        sa.Column("ppv", sa.Double(), nullable=True),
        sa.Column("npv", sa.Double(), nullable=True),
        sa.Column("f1", sa.Double(), nullable=True),
        sa.Column("brier", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_evaluation_result_evaluation_id")
        ),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name=op.f("fk_evaluation_result_finding_id")),
        sa.PrimaryKeyConstraint("evaluation_id", "subgroup", "finding_id", name=op.f("pk_evaluation_result")),
    )
    op.create_table(
        "image_result",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("maps", sa.LargeBinary(), nullable=True),
        sa.Column("map_height", sa.SmallInteger(), nullable=True),
        sa.Column("map_width", sa.SmallInteger(), nullable=True),
        sa.Column("stage", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(status = 'scored' AND reason IS NULL) OR (status = 'failed' AND reason IS NOT NULL)",
            name=op.f("ck_image_result_status"),
        ),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_image_result_batch_id")),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_image_result_image_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_image_result_run_id")),
        sa.PrimaryKeyConstraint("run_id", "image_id", name=op.f("pk_image_result")),
    )


def downgrade() -> None:
    op.drop_table("image_result")
    op.drop_table("evaluation_result")
    with op.batch_alter_table("evaluation", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_evaluation_closing",
            sqlite_where=sa.text("closes_run"),
            postgresql_where=sa.text("closes_run"),
        )

    op.drop_table("evaluation")
    with op.batch_alter_table("batch", schema=None) as batch_op:
        batch_op.drop_index("ix_batch_run_id_state")
        batch_op.drop_index(
            "ix_batch_open",
            sqlite_where=sa.text("state IN ('pending','queued','running')"),
            postgresql_where=sa.text("state IN ('pending','queued','running')"),
        )

    op.drop_table("batch")
    op.drop_table("run")
    op.drop_table("manifest_row")
    op.drop_table("manifest_finding")
    op.drop_table("model_finding")
    op.drop_table("manifest")
    op.drop_table("image")
    op.drop_table("score")
    op.drop_table("model")
    op.drop_table("finding")
    op.drop_table("archive")
