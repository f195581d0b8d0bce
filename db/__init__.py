"""The ledger: schema, sessions, idempotent writes, queries, views and migrations."""
