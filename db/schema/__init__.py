"""The tables, for SQLite and PostgreSQL alike; people read the views instead (db/views.py)."""

# All of them, so that importing any module makes the metadata whole.
from db.schema import archives, deliveries, evaluations, receipts, runs, schedules, segmentations, watch
from db.schema.base import metadata

__all__ = [
    "archives",
    "deliveries",
    "evaluations",
    "metadata",
    "receipts",
    "runs",
    "schedules",
    "segmentations",
    "watch",
]
