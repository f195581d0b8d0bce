"""A worker's side of the queue: only messages in Nightread's form reach a task, others are dropped."""

import logging
import os
import sys
from collections.abc import Callable
from threading import Timer
from typing import Final

from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.control import Panel
from kombu.message import Message

from config.machine import own_command
from config.queues import EVALUATE, IDENTITY, RECONCILE, SCORE_BATCH, SEND_RESULTS

log = logging.getLogger(__name__)

_TASKS: Final = frozenset({SCORE_BATCH, EVALUATE, SEND_RESULTS, RECONCILE})
_LONGEST_TEXT: Final = 200

_END_SECONDS: Final = 120.0
"""So long a worker that lost its broker may take to end its batches; it begins again then at the latest."""

_ANSWERED: Final = (
    *("active", "active_queues", "conf", "enable_events", "ping"),
    *("registered", "reserved", "revoked", "scheduled", "stats", IDENTITY),
)
"""Questions of Flower, health checks and `nightread doctor` to workers by the broker; they change nothing."""


class StrictConsumer(Consumer):
    """Celery's consumer, which a malformed message cannot stop.

    Celery drops messages with other content types or for unknown tasks. A malformed body or time limit stops
    it instead, and the message, never acknowledged, goes to the next worker: a single one would stop all
    workers for good.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Keep only the queries of Celery's remote control: the rest would end workers or their batches."""
        for command in Panel.data.keys() - set(_ANSWERED):
            del Panel.data[command]
        super().__init__(*args, **kwargs)

    def start(self) -> None:
        """Consume until the worker is to end; where it lost its broker, it ends within `_END_SECONDS`.

        Celery's shutdown, seen to wait for a child that waits for it, cannot be relied on to come to an end.
        """
        try:
            super().start()
        except SystemExit:
            if lost_broker():
                last = Timer(_END_SECONDS, begin_again)
                last.daemon = True
                last.start()
            raise

    def create_task_handler(self, *args: object, **kwargs: object) -> Callable[[Message], None]:
        """Return the function that takes a message off the queue."""
        handle = super().create_task_handler(*args, **kwargs)

        def on_message(message: Message) -> None:
            headers = _our_headers(message)
            if headers is None:
                # Nothing of it is logged: it may be aimed at the log's readers.
                log.error("a message that Nightread did not send was dropped")
                message.reject_log_error(log, self.connection_errors)
                return
            message.headers = headers
            handle(message)

        return on_message


def lost_broker() -> bool:
    """Return whether a worker that ends does so by itself: by no signal and no command from outside."""
    return state.should_stop is None and state.should_terminate is None


def begin_again() -> None:
    """Start the worker again in this process, under the same id; children at work end their batches alone.

    One that has been told to end since it lost its broker is not started again, and this returns.
    """
    log.warning("the connection to the broker was lost; starting again")
    if lost_broker():
        os.execv(sys.executable, own_command(*sys.argv[1:]))  # noqa: S606  # ourselves


def _is_short_line(text: str) -> bool:
    return text.isprintable() and len(text) <= _LONGEST_TEXT


def _our_headers(message: Message) -> dict[str, object] | None:
    """Rebuild a message's headers from those that ours have; None for a message that is not ours."""
    try:
        args, kwargs, canvas = message.decode()
        texts = [message.headers[name] for name in ("task", "id", "argsrepr")]
        expires = message.headers.get("expires")
        is_ours = (
            texts[0] in _TASKS
            and all(isinstance(text, str) and _is_short_line(text) for text in texts)
            and isinstance(expires, str | None)
            and (type(args), type(kwargs)) == (list, dict)
            # The canvas names tasks to call afterwards, which Nightread never sends.
            and not any(canvas.values())
        )
    except Exception:  # noqa: BLE001  # it can be anything, and decoding it can raise anything
        return None
    if not is_ours:
        return None
    task, task_id, shown = texts
    return {
        "lang": "py",
        "task": task,
        "id": task_id,
        "root_id": task_id,
        "argsrepr": shown,
        "kwargsrepr": "{}",
        "expires": expires,
        "timelimit": [None, None],
    }
