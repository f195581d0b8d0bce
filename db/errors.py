"""Errors of the database layer."""


class DatabaseError(Exception):
    """The database cannot do what was asked; the message says what to do."""


class SchemaOutdatedError(DatabaseError):
    """The schema is not the one that this version writes."""


class UnknownRunError(DatabaseError):
    """No run has this id."""
