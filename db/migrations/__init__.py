"""Alembic migrations of the tables, run by `nightread db upgrade`."""
