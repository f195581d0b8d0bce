"""The table that says when the ledger was last reconciled."""

from sqlalchemy import Column, Double, Integer, Table

from db.schema.base import metadata

watch = Table(
    "watch",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1: it has one row
    # Seconds since 1970 by the database's own clock, as a batch's lease.
    Column("seen_at", Double, nullable=False),
    Column("grace_until", Double),  # no lease expires before; NULL but after a gap
)
