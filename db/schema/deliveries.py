"""The table of deliveries: which of a run's results were sent where, and what the receiver said."""

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, Text, UniqueConstraint, text

from db.schema.base import State, UtcDateTime, id_column, is_one_of, metadata, reference
from db.states import DeliveryState

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
