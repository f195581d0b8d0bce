"""The tables of deliveries: which of a run's results are sent where, by whom, and what the receiver said."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from db.schema.base import State, UtcDateTime, id_column, is_one_of, metadata, reference
from db.states import DeliveryState, SendingState

delivery = Table(
    "delivery",
    metadata,
    id_column(),
    reference("run_id", "run.id"),
    reference("image_id", "image.id"),
    Column("kind", Text, nullable=False),
    Column("finding", Text, nullable=False),  # blank where the object is of all of an image's findings
    Column("target", Text, nullable=False),
    Column("state", State(DeliveryState), nullable=False, server_default=DeliveryState.PENDING),
    Column("sop_instance_uid", Text),  # NULL until the object is made
    Column("status", Text),  # what the receiver said last, or why there is no object
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("tried_at", UtcDateTime),
    Column("sent_at", UtcDateTime),
    CheckConstraint(is_one_of("state", DeliveryState), name="state"),
    # The promise: an object is due once for each receiver, no matter how often it is asked for.
    UniqueConstraint("run_id", "target", "image_id", "kind", "finding"),
    Index(
        "ix_delivery_pending",
        "run_id",
        "target",
        sqlite_where=text(f"state = '{DeliveryState.PENDING}'"),
        postgresql_where=text(f"state = '{DeliveryState.PENDING}'"),
    ),
)

# That a worker is to send a run's results once it is complete. What it sends has its rows in `delivery`.
sending = Table(
    "sending",
    metadata,
    id_column(),
    reference("run_id", "run.id"),
    Column("target", Text, nullable=False),
    Column("formats", Text),  # separated by commas; NULL: all that the run has
    Column("tls", Boolean, nullable=False),
    Column("state", State(SendingState), nullable=False, server_default=SendingState.DUE),
    Column("attempt", SmallInteger, nullable=False, server_default="0"),
    Column("lease_token", Text),
    Column("lease_expires_at", Double),
    Column("sent_at", Double),  # when it was announced
    Column("waits_for", Text),  # what was away, or refused us, when it was tried last
    Column("waits_since", UtcDateTime),
    Column("not_before", Double),  # seconds since 1970 by the database's clock: of the next try
    Column("message", Text),  # why it failed
    Column("created_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    CheckConstraint(is_one_of("state", SendingState), name="state"),
    UniqueConstraint("run_id", "target"),
)
