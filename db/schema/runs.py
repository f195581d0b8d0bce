"""The tables of a run: its model, its batches, and each image's outcome and scores.

A run is a manifest scored by a model. Its batches are ranges of the manifest's rows, so that splitting a
batch or resuming a run moves no rows.
"""

from sqlalchemy import (
    REAL,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    text,
)

from db.schema.base import State, UtcDateTime, id_column, is_one_of, metadata, reference
from db.states import OPEN_BATCHES, BatchState, ImageStatus, RunStatus

model = Table(
    "model",
    metadata,
    id_column(),
    Column("name", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("card", Text, nullable=False),  # the whole card as JSON, so that a run can be traced forever
    Column("card_sha256", Text, nullable=False, unique=True),
)

model_finding = Table(
    "model_finding",
    metadata,
    reference("model_id", "model.id", primary_key=True),
    reference("finding_id", "finding.id", primary_key=True),
    Column("position", SmallInteger, nullable=False),
    Column("threshold", Double, nullable=False),
)

model_member = Table(
    "model_member",
    metadata,
    reference("model_id", "model.id", primary_key=True),
    Column("position", SmallInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("card_sha256", Text, nullable=False),
)
"""The members of an ensemble; they may have no rows of their own in `model`."""

run = Table(
    "run",
    metadata,
    id_column(),
    reference("manifest_id", "manifest.id"),
    reference("model_id", "model.id"),
    Column("status", State(RunStatus), nullable=False),
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
    Column("bits", SmallInteger),  # used in its 16-bit pictures; NULL: each picture is judged by itself
    Column("waits_for", Text),  # what a batch was given back for; NULL once one is done again
    CheckConstraint(is_one_of("status", RunStatus), name="status"),
    CheckConstraint("heatmaps IN ('none','positive','all')", name="heatmaps"),
)

batch = Table(
    "batch",
    metadata,
    id_column(),
    reference("run_id", "run.id"),
    Column("number", Integer, nullable=False),
    Column("first_row", Integer, nullable=False),
    Column("last_row", Integer, nullable=False),  # inclusive
    Column("state", State(BatchState), nullable=False, server_default=BatchState.PENDING),
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
    CheckConstraint(is_one_of("state", BatchState), name="state"),
    Index("ix_batch_run_id_state", "run_id", "state"),
    # The reconciler asks about the few batches that are not done, among millions that are.
    Index(
        "ix_batch_open",
        "state",
        "id",
        sqlite_where=text(is_one_of("state", OPEN_BATCHES)),
        postgresql_where=text(is_one_of("state", OPEN_BATCHES)),
    ),
)

image_result = Table(
    "image_result",
    metadata,
    # The primary key is the promise: an image ends once in a run, scored or failed.
    reference("run_id", "run.id", primary_key=True),
    reference("image_id", "image.id", primary_key=True),
    reference("batch_id", "batch.id"),
    Column("status", State(ImageStatus), nullable=False),
    Column("width", Integer),  # of the original image, pixels
    Column("height", Integer),
    Column("maps", LargeBinary),  # float16 (height, width, findings), C order, each map's maximum 1
    Column("map_height", SmallInteger),
    Column("map_width", SmallInteger),
    Column("stage", Text),
    Column("reason", Text),
    Column("message", Text),
    Column("greyscale", Text),  # what made greys of a DICOM film's values: config.films; NULL of other files
    Column("padded", Boolean),  # whether a DICOM film has padding; NULL of other files
    Column("spacing_down", Double),  # millimetres from one pixel to the next; NULL where it is not known
    Column("spacing_across", Double),
    Column("spacing", Text),  # the element that says it
    Column("feature_distance", REAL),  # 1: the largest that passes the model's gate; NULL without a gate
    Column("picture_distance", REAL),
    Column("brightness", REAL),  # mean and spread of its greys, 0 to 255, at 16 x 16; NULL without a gate
    Column("contrast", REAL),
    Column("flag", Text),  # why it does not pass: config.quality
    Column("tag", Text),  # of the bytes that were read: config.content; NULL where none were
    CheckConstraint(
        f"(status = '{ImageStatus.SCORED}' AND reason IS NULL)"
        f" OR (status = '{ImageStatus.FAILED}' AND reason IS NOT NULL)",
        name="status",
    ),
    # A run's failures are few, and its rows are wide with maps: reasons are counted in the index alone.
    Index(
        "ix_image_result_failed",
        "run_id",
        "image_id",
        "stage",
        "reason",
        sqlite_where=text(f"status = '{ImageStatus.FAILED}'"),
        postgresql_where=text(f"status = '{ImageStatus.FAILED}'"),
    ),
    # For each batch that is deleted PostgreSQL looks whether an image refers to it.
    Index("ix_image_result_batch_id", "batch_id"),
)

earlier_failure = Table(
    "earlier_failure",
    metadata,
    id_column(),
    reference("run_id", "run.id"),
    reference("image_id", "image.id"),
    Column("stage", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text),
    Column("retried_at", UtcDateTime, nullable=False),
    Column("tag", Text),
    Index("ix_earlier_failure_run_id", "run_id", "image_id"),
)
"""A failed image's outcome that a later attempt in the same run has replaced."""

counted = Table(
    "counted",
    metadata,
    Column("counter", Text, primary_key=True),
    Column("stage", Text, primary_key=True),  # of failures; empty of others
    Column("reason", Text, primary_key=True),
    Column("value", Double, nullable=False),
)
"""What deleted runs had added to counters that never fall: see db/measures.py."""

score = Table(
    "score",
    metadata,
    # No foreign keys: checking three for each of an image's 14 rows would cost more than writing them. The
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
    # Population standard deviation of an ensemble's members' probabilities; NULL of one network.
    Column("spread", REAL),
    sqlite_with_rowid=False,
)
