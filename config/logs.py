"""Logging: one line per event on standard error, with run, batch and task, never a patient's identifier."""

import logging
import sys
import time
from copy import copy

from config.texts import escaped

FORMAT = "%(asctime)sZ %(levelname)-7s %(processName)s %(name)s: %(message)s"


class _OneLine(logging.Formatter):
    """Formats an event as one line, its time in UTC; a traceback follows in lines of its own."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """Return the event; what its message holds cannot forge another or act on a terminal."""
        event = copy(record)
        event.msg, event.args = escaped(record.getMessage().rstrip(), str.isprintable), None
        return super().format(event)


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
