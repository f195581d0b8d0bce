"""The table of receipts: which of the commands' transactions have been committed, and what they returned."""

from sqlalchemy import Column, Table, Text

from db.schema.base import UtcDateTime, metadata

receipt = Table(
    "receipt",
    metadata,
    Column("token", Text, primary_key=True),
    Column("answer", Text),  # JSON
    Column("written_at", UtcDateTime, nullable=False),
)
