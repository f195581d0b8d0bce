"""The tables of schedules: when they were due, with what result, and the alerts they raised."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from db.schema.base import State, UtcDateTime, id_column, is_one_of, metadata, reference
from db.states import DueState

# A schedule is never deleted, as its runs and alerts name it: the time of its removal is written.
schedule = Table(
    "schedule",
    metadata,
    id_column(),
    Column("name", Text, nullable=False),
    Column("cron", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("action", Text, nullable=False),  # JSON: what to score or evaluate, and with which options
    Column("margin", Double, nullable=False),  # a loss of AUROC beyond it raises an alert
    Column("baseline_id", Integer),  # the run that its runs are compared with; NULL: none
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

schedule_due = Table(
    "schedule_due",
    metadata,
    # The primary key is the promise: a schedule's due time is acted on once, no matter how many beats tick.
    reference("schedule_id", "schedule.id", primary_key=True),
    Column("due_at", UtcDateTime, primary_key=True),
    Column("state", State(DueState), nullable=False),
    Column("run_id", Integer, ForeignKey("run.id")),
    Column("evaluation_id", Integer, ForeignKey("evaluation.id")),
    Column("message", Text),
    Column("begun_at", UtcDateTime),
    # Whoever looks up what there is to do holds a lease: among several reconcilers one does.
    Column("lease_token", Text),
    Column("lease_expires_at", Double),
    Column("waits_for", Text),  # what was away when it was tried last
    Column("waits_since", UtcDateTime),
    Column("not_before", Double),  # seconds since 1970 by the database's clock: of the next try
    CheckConstraint(is_one_of("state", DueState), name="state"),
)

alert = Table(
    "alert",
    metadata,
    id_column(),
    Column("kind", Text, nullable=False),
    reference("schedule_id", "schedule.id"),
    Column("due_at", UtcDateTime),
    Column("evaluation_id", Integer, ForeignKey("evaluation.id")),
    Column("comparison_id", Integer, ForeignKey("comparison.id")),
    Column("drift_id", Integer, ForeignKey("drift_check.id")),
    Column("message", Text, nullable=False),
    Column("raised_at", UtcDateTime, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),  # of the POST to the webhook
    Column("tried_at", Double),
    Column("delivered_at", UtcDateTime),
    UniqueConstraint("evaluation_id", "kind"),
    UniqueConstraint("schedule_id", "due_at", "kind"),
    CheckConstraint("kind IN ('loss','failed','drift')", name="kind"),
)
