"""What passes with time: for each kind of database, the errors after which a transaction is worth repeating.

By the codes that the servers themselves give, as drivers sort them into classes of their own: psycopg has a
read-only server and a broken driver in one.
"""

import sqlite3
from typing import Final

POSTGRESQL_CLASSES: Final = {
    "08": "the connection broke",
    "40": "rolled back for another transaction's sake, or a deadlock",
    "53": "disk, memory or connections are used up",
    "57": "ended by an operator: shutting down, starting, cancelled",
    "58": "the server's disk or files fail",
}
"""The first two characters of SQLSTATE; appendix A of PostgreSQL's manual."""

POSTGRESQL_CODES: Final = {
    "25006": "read-only: a replica, or a server that is to be spared",
    "25P03": "ended for being idle in a transaction",
    "25P04": "ended for its length",
    "55006": "in use by another",
    "55P03": "locked by another",
}

_NO_SPACE: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
"""A full disk, a quota, or a limit on the size of files."""

SQLITE_CODES: Final = {
    sqlite3.SQLITE_BUSY: "another process writes",
    sqlite3.SQLITE_LOCKED: "another connection of this process writes",
    sqlite3.SQLITE_NOMEM: "memory is used up",
    sqlite3.SQLITE_READONLY: "its file may not be written",
    sqlite3.SQLITE_IOERR: "its disk fails",
    sqlite3.SQLITE_FULL: "its disk is full",
    sqlite3.SQLITE_CANTOPEN: "its file cannot be opened",
    sqlite3.SQLITE_PROTOCOL: "too many processes lock it at once",
}
"""Primary result codes; https://sqlite.org/rescode.html."""

_NO_ANSWER: Final = {"08", "57"}
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_READ_ONLY: Final = {"25006", sqlite3.SQLITE_READONLY}


def away_reason(error: BaseException, where: str, *, asked_to_write: bool = True) -> str | None:
    """Say what passes with time in a driver's error; None for one that no waiting mends.

    `where` is the database as messages name it. Without `asked_to_write` a refused change is the fault of
    the statement, as the transaction is read-only by itself.
    """
    reason = " ".join(str(error).split())
    code = getattr(error, "sqlite_errorcode", None) if isinstance(error, sqlite3.Error) else _state(error)
    if code is None or (code in _READ_ONLY and not asked_to_write):
        return None
    if isinstance(code, int):
        if code in _NO_SPACE:
            return f"no space for {where} ({reason})"
        return f"{where} cannot be used now: {reason}" if code & 0xFF in SQLITE_CODES else None
    if code[:2] in _NO_ANSWER:
        return f"the database does not answer: {reason}"
    passes = code[:2] in POSTGRESQL_CLASSES or code in POSTGRESQL_CODES
    return f"the database cannot go on now: {reason}" if passes else None


def is_refused_change(error: BaseException) -> bool:
    """Return whether a read-only transaction refused a statement for what it does."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH}
    return _state(error) == "25006"


def _state(error: BaseException) -> str | None:
    """Return an error's SQLSTATE, or 08000 where no server spoke: it is not reached, or went away."""
    state: str | None = getattr(error, "sqlstate", None)
    # PEP 249's class for what is not the program's fault, whichever the driver's module is.
    lost = any(kind.__name__ == "OperationalError" for kind in type(error).__mro__)
    return state or ("08000" if lost else None)


def is_damaged(error: BaseException) -> bool:
    """Return whether SQLite found a file that is not, or no longer, a database."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED
