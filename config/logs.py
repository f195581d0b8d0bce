"""Logging: one line per event on standard error, with run, batch and task, never a patient's identifier."""

import logging
import sys
import time
from copy import copy

FORMAT = "%(asctime)sZ %(levelname)-7s %(processName)s %(name)s: %(message)s"


class _OneLine(logging.Formatter):
    """Formats an event as one line, its time in UTC; a traceback follows in lines of its own."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """Return the event; what its message holds cannot forge another or act on a terminal."""
        event = copy(record)
        event.msg, event.args = _printable(record.getMessage().rstrip()), None
        return super().format(event)


def _printable(text: str) -> str:
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def configure_logging(level: str) -> None:
    """Send this process's log to standard error, times in UTC."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(FORMAT, datefmt="%Y-%m-%dT%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Their lines at INFO tell an operator nothing about runs and batches.
    for noisy in ("alembic", "kombu", "amqp", "h5py", "absl"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
