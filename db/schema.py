"""The tables, for SQLite and PostgreSQL alike; people read the views instead (db/views.py).

A run is a manifest scored by a model. Its batches are ranges of the manifest's rows, so that splitting one
or resuming a run moves no rows. Labels are one character a finding of the manifest ("1", "0", "-" unknown):
112,120 rows instead of 1.6 million; the views spread them out.
"""

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    REAL,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC; SQLite, which has no time zones, keeps it without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Write UTC."""
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002  # the base class passes it
    ) -> datetime | None:
        """Read UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True)


def _reference(name: str, target: str, **options: Any) -> Column[int]:
    return Column(name, Integer, ForeignKey(target), nullable=False, **options)


finding = Table("finding", metadata, _id(), Column("name", Text, nullable=False, unique=True))

model = Table(
    "model",
    metadata,
    _id(),
    Column("name", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("card", Text, nullable=False),  # the whole card as JSON, so that a run can be traced for ever
    Column("card_sha256", Text, nullable=False, unique=True),
)

model_finding = Table(
    "model_finding",
    metadata,
    _reference("model_id", "model.id", primary_key=True),
    _reference("finding_id", "finding.id", primary_key=True),
    Column("position", SmallInteger, nullable=False),
    Column("threshold", Double, nullable=False),
)

archive = Table("archive", metadata, _id(), Column("root", Text, nullable=False, unique=True))

image = Table(
    "image",
    metadata,
    _id(),
    _reference("archive_id", "archive.id"),
    Column("image_index", Text, nullable=False),
    # In this order it also finds an image by its name alone, as joins of the views do.
    UniqueConstraint("image_index", "archive_id"),
)

manifest = Table(
    "manifest",
    metadata,
    _id(),
    _reference("archive_id", "archive.id"),
    Column("fingerprint", Text, nullable=False),  # SHA-256 of the file and of how it was read
    Column("path", Text, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("archive_id", "fingerprint"),
)

manifest_finding = Table(
    "manifest_finding",
    metadata,
    _reference("manifest_id", "manifest.id", primary_key=True),
    _reference("finding_id", "finding.id", primary_key=True),
    Column("position", SmallInteger, nullable=False),  # of its character in manifest_row.labels
)

manifest_row = Table(
    "manifest_row",
    metadata,
    _reference("manifest_id", "manifest.id", primary_key=True),
    Column("row_number", Integer, primary_key=True),
    _reference("image_id", "image.id"),
    Column("patient_id", Text),
    Column("follow_up", Integer),
    Column("view_position", Text),
    Column("sex", Text),
    Column("age_years", Double),
    Column("labels", Text, nullable=False),
    UniqueConstraint("manifest_id", "image_id"),
    sqlite_with_rowid=False,
)

# A schedule is never deleted, as its runs and alerts name it: it is removed by a time.
schedule = Table(
    "schedule",
    metadata,
    _id(),
    Column("name", Text, nullable=False),
    Column("cron", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("action", Text, nullable=False),  # JSON: what to score or evaluate, and with which options
    Column("margin", Double, nullable=False),  # a loss of AUROC beyond it raises an alert
    Column("created_at", UtcDateTime, nullable=False),
    Column("removed_at", UtcDateTime),
    Index(
        "uq_schedule_name",
        "name",
        unique=True,
        sqlite_where=text("removed_at IS NULL"),
        postgresql_where=text("removed_at IS NULL"),
    ),
)

run = Table(
    "run",
    metadata,
    _id(),
    _reference("manifest_id", "manifest.id"),
    _reference("model_id", "model.id"),
    Column("status", Text, nullable=False),
    Column("images", Integer, nullable=False),
    Column("batches", Integer, nullable=False),
    Column("heatmaps", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("message", Text),
    # True where earlier runs of the same model have scored the manifest's other rows: an evaluation takes
    # those scores from them, each from the newest.
    Column("only_new", Boolean, nullable=False, server_default=text("false")),
    Column("schedule_id", Integer, ForeignKey("schedule.id")),
    Column("calibrated_by", Integer),  # the evaluation whose fit made score.calibrated
    CheckConstraint("status IN ('running','evaluating','complete','cancelled','broken')", name="status"),
    CheckConstraint("heatmaps IN ('none','positive','all')", name="heatmaps"),
)

batch = Table(
    "batch",
    metadata,
    _id(),
    _reference("run_id", "run.id"),
    Column("number", Integer, nullable=False),
    Column("first_row", Integer, nullable=False),
    Column("last_row", Integer, nullable=False),  # inclusive
    Column("state", Text, nullable=False, server_default="pending"),
    Column("attempt", SmallInteger, nullable=False, server_default="0"),
    Column("lease_token", Text),
    # Seconds since 1970 by the database's own clock: workers' clocks may differ.
    Column("lease_expires_at", Double),
    Column("sent_at", Double),
    Column("worker", Text),
    Column("engine", Text),  # what ran the network: engines agree, but not to the last bit
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("scored", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    CheckConstraint("state IN ('pending','queued','running','done','split')", name="state"),
    Index("ix_batch_run_id_state", "run_id", "state"),
    # The reconciler's questions are about the few batches that are not done, among millions that are.
    Index(
        "ix_batch_open",
        "state",
        "id",
        sqlite_where=text("state IN ('pending','queued','running')"),
        postgresql_where=text("state IN ('pending','queued','running')"),
    ),
)

image_result = Table(
    "image_result",
    metadata,
    # The primary key is the promise: an image ends once in a run, scored or failed.
    _reference("run_id", "run.id", primary_key=True),
    _reference("image_id", "image.id", primary_key=True),
    _reference("batch_id", "batch.id"),
    Column("status", Text, nullable=False),
    Column("width", Integer),  # of the original image, pixels
    Column("height", Integer),
    Column("maps", LargeBinary),  # float16 (height, width, findings), C order, each map's maximum 1
    Column("map_height", SmallInteger),
    Column("map_width", SmallInteger),
    Column("stage", Text),
    Column("reason", Text),
    Column("message", Text),
    CheckConstraint(
        "(status = 'scored' AND reason IS NULL) OR (status = 'failed' AND reason IS NOT NULL)", name="status"
    ),
)

score = Table(
    "score",
    metadata,
    # No foreign keys: checking three for each of 14 rows an image would cost more than writing them. The
    # rows are written in one transaction with the image_result that they belong to.
    Column("run_id", Integer, primary_key=True, autoincrement=False),
    Column("image_id", Integer, primary_key=True, autoincrement=False),
    Column("finding_id", Integer, primary_key=True, autoincrement=False),
    Column("probability", REAL, nullable=False),
    Column("peak_x", Integer),  # pixels of the original image; NULL where the map has no positive value
    Column("peak_y", Integer),
    Column("box_x", Integer),
    Column("box_y", Integer),
    Column("box_width", Integer),
    Column("box_height", Integer),
    Column("overlay_path", Text),
    Column("calibrated", REAL),  # see run.calibrated_by
    sqlite_with_rowid=False,
)

box_set = Table(
    "box_set",
    metadata,
    _id(),
    Column("fingerprint", Text, nullable=False, unique=True),  # SHA-256 of the file and of how it was read
    Column("path", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

box = Table(
    "box",
    metadata,
    _reference("box_set_id", "box_set.id", primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("image_index", Text, nullable=False),
    _reference("finding_id", "finding.id"),
    Column("x", Double, nullable=False),  # pixels of the original image, from its upper left corner
    Column("y", Double, nullable=False),
    Column("width", Double, nullable=False),
    Column("height", Double, nullable=False),
)

evaluation = Table(
    "evaluation",
    metadata,
    _id(),
    _reference("run_id", "run.id"),
    _reference("label_manifest_id", "manifest.id"),
    Column("label_set", Text, nullable=False),
    # True for the one evaluation that a run's last batch makes due.
    Column("closes_run", Boolean, nullable=False),
    Column("state", Text, nullable=False, server_default="due"),
    Column("attempt", SmallInteger, nullable=False, server_default="0"),
    Column("lease_token", Text),
    Column("lease_expires_at", Double),
    Column("sent_at", Double),
    Column("evaluated_at", UtcDateTime),
    Column("bootstrap", Integer, nullable=False, server_default="0"),  # resamples of patients
    Column("wanted_sensitivity", Double),
    Column("box_set_id", Integer, ForeignKey("box_set.id")),
    Column("schedule_id", Integer, ForeignKey("schedule.id")),
    Column("message", Text),  # why it failed
    CheckConstraint("state IN ('due','queued','running','done','failed')", name="state"),
    Index(
        "uq_evaluation_closing",
        "run_id",
        unique=True,
        sqlite_where=text("closes_run"),
        postgresql_where=text("closes_run"),
    ),
)

_CALLS: Final = ("tp", "fp", "tn", "fn")

_SHARES: Final = (
    *(
        f"{share}{bound}"
        for share in ("sensitivity", "specificity", "ppv", "npv")
        for bound in ("", "_low", "_high")
    ),
    "f1",
    "accuracy",
    "prevalence",
)

evaluation_result = Table(
    "evaluation_result",
    metadata,
    _reference("evaluation_id", "evaluation.id", primary_key=True),
    Column("subgroup", Text, primary_key=True),
    _reference("finding_id", "finding.id", primary_key=True),
    Column("n_positive", Integer, nullable=False),
    Column("n_negative", Integer, nullable=False),
    *(
        Column(name, Double)
        for name in (
            "auroc",
            "ci_low",
            "ci_high",
            "average_precision",
            "threshold",
            "sensitivity",
            "specificity",
            "ppv",
            "npv",
            "f1",
            "brier",
            "calibration_error",
            "bootstrap_low",
            "bootstrap_high",
            "platt_slope",
            "platt_intercept",
        )
    ),
    Column("reason", Text),  # why figures are NULL
)

threshold_result = Table(
    "threshold_result",
    metadata,
    _reference("evaluation_id", "evaluation.id", primary_key=True),
    Column("subgroup", Text, primary_key=True),
    _reference("finding_id", "finding.id", primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("threshold", Double),
    *(Column(name, Integer) for name in _CALLS),
    *(Column(name, Double) for name in _SHARES),
    Column("reason", Text),
    CheckConstraint("kind IN ('card','0.5','youden','sensitivity')", name="kind"),
)

calibration_bin = Table(
    "calibration_bin",
    metadata,
    _reference("evaluation_id", "evaluation.id", primary_key=True),
    _reference("finding_id", "finding.id", primary_key=True),
    Column("bin", SmallInteger, primary_key=True, autoincrement=False),
    Column("lower", Double, nullable=False),
    Column("upper", Double, nullable=False),
    Column("images", Integer, nullable=False),
    Column("mean_probability", Double),
    Column("share_positive", Double),
)

curve_point = Table(
    "curve_point",
    metadata,
    _reference("evaluation_id", "evaluation.id", primary_key=True),
    _reference("finding_id", "finding.id", primary_key=True),
    Column("curve", Text, primary_key=True),
    Column("point", SmallInteger, primary_key=True, autoincrement=False),
    Column("x", Double, nullable=False),
    Column("y", Double, nullable=False),
    Column("threshold", Double),  # NULL for the first point, where no image is called positive
    CheckConstraint("curve IN ('roc','precision_recall')", name="curve"),
)

localisation_result = Table(
    "localisation_result",
    metadata,
    _reference("evaluation_id", "evaluation.id", primary_key=True),
    _reference("finding_id", "finding.id", primary_key=True),
    Column("images", Integer, nullable=False),  # with a map and a box of this finding
    Column("hits", Integer, nullable=False),  # whose map's peak lies in a box
    *(Column(name, Double) for name in ("pointing", "ci_low", "ci_high", "mean_iou")),
    Column("reason", Text),
)

comparison = Table(
    "comparison",
    metadata,
    _id(),
    _reference("run_a", "run.id"),
    _reference("run_b", "run.id"),
    _reference("label_manifest_id", "manifest.id"),
    Column("label_set", Text, nullable=False),
    Column("images", Integer, nullable=False),  # that both have scored
    Column("compared_at", UtcDateTime, nullable=False),
)

comparison_result = Table(
    "comparison_result",
    metadata,
    _reference("comparison_id", "comparison.id", primary_key=True),
    _reference("finding_id", "finding.id", primary_key=True),
    Column("n_positive", Integer, nullable=False),
    Column("n_negative", Integer, nullable=False),
    *(
        Column(name, Double)
        for name in ("auroc_a", "auroc_b", "difference", "ci_low", "ci_high", "z", "p", "p_holm")
    ),
    Column("reason", Text),
)

published_auroc = Table(
    "published_auroc",
    metadata,
    Column("source", Text, primary_key=True),
    _reference("finding_id", "finding.id", primary_key=True),
    Column("auroc", Double, nullable=False),
    Column("ci_low", Double),
    Column("ci_high", Double),
    Column("citation", Text, nullable=False),
)

schedule_due = Table(
    "schedule_due",
    metadata,
    # The primary key is the promise: a schedule's due time is acted on once, however many beats tick.
    _reference("schedule_id", "schedule.id", primary_key=True),
    Column("due_at", UtcDateTime, primary_key=True),
    Column("state", Text, nullable=False),
    Column("run_id", Integer, ForeignKey("run.id")),
    Column("evaluation_id", Integer, ForeignKey("evaluation.id")),
    Column("message", Text),
    Column("begun_at", UtcDateTime),
    CheckConstraint("state IN ('due','begun','nothing_new','failed')", name="state"),
)

alert = Table(
    "alert",
    metadata,
    _id(),
    Column("kind", Text, nullable=False),
    _reference("schedule_id", "schedule.id"),
    Column("due_at", UtcDateTime),
    Column("evaluation_id", Integer, ForeignKey("evaluation.id")),
    Column("comparison_id", Integer, ForeignKey("comparison.id")),
    Column("message", Text, nullable=False),
    Column("raised_at", UtcDateTime, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),  # of the POST to the webhook
    Column("tried_at", Double),
    Column("delivered_at", UtcDateTime),
    UniqueConstraint("evaluation_id", "kind"),
    UniqueConstraint("schedule_id", "due_at", "kind"),
    CheckConstraint("kind IN ('loss','failed')", name="kind"),
)
