"""Logging: one line per event on standard error, with run, batch and task, never a patient's identifier."""

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, Literal

from config.texts import escaped

FORMAT = "%(asctime)sZ %(levelname)-7s %(processName)s %(name)s: %(message)s"

LogForm = Literal["text", "json"]

_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
_ids: ContextVar[Mapping[str, object]] = ContextVar("ids", default=_NOTHING)


@contextmanager
def about(**ids: object) -> Iterator[None]:
    """Have the events of a block carry these ids, such as run, batch and worker, as JSON lines show them."""
    token = _ids.set({**_ids.get(), **ids})
    try:
        yield
    finally:
        _ids.reset(token)


class _OneLine(logging.Formatter):
    """Formats an event as one line, its time in UTC; a traceback follows in lines of its own."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """Return the event; what its message holds cannot forge another or act on a terminal."""
        event = copy(record)
        event.msg, event.args = escaped(record.getMessage().rstrip(), str.isprintable), None
        return super().format(event)


class _JsonLine(logging.Formatter):
    """Formats an event as one line of JSON in ASCII, a traceback within it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the event with its time in UTC and the ids that it is about."""
        event: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.processName,
            "message": record.getMessage().rstrip(),
            **_ids.get(),
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event, default=str)


def configure_logging(level: str, form: LogForm = "text") -> logging.Handler:
    """Send this process's log to standard error, times in UTC; returns what writes it."""
    handler = logging.StreamHandler(sys.stderr)
    text = _OneLine(FORMAT, datefmt="%Y-%m-%dT%H:%M:%S")
    handler.setFormatter(_JsonLine() if form == "json" else text)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Their lines at INFO tell an operator nothing about runs and batches.
    for noisy in ("alembic", "kombu", "amqp", "h5py", "absl"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    return handler
