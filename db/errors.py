"""Errors of the database layer."""


class DatabaseError(Exception):
    """The database cannot do what was asked; the message says what to do."""


class DatabaseAwayError(Exception):
    """Transient: the database does not answer, is locked, full or read-only; the same call works later."""


class SchemaOutdatedError(DatabaseError):
    """The schema is not the one that this version writes."""


class UnknownRunError(DatabaseError):
    """No run has this id."""
