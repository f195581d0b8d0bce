"""A worker's side of the queue: only messages as Nightread sends them reach a task, others are dropped."""

import logging
from collections.abc import Callable
from typing import Any, Final

from celery.worker.consumer import Consumer
from celery.worker.control import Panel

from config.queues import EVALUATE, RECONCILE, SCORE_BATCH

log = logging.getLogger(__name__)

_TASKS: Final = frozenset({SCORE_BATCH, EVALUATE, RECONCILE})
_LONGEST_TEXT: Final = 200

_ANSWERED: Final = (
    *("active", "active_queues", "conf", "enable_events", "ping"),
    *("registered", "reserved", "revoked", "scheduled", "stats"),
)
"""What Flower and a health check send to workers through the broker; it changes nothing."""


class StrictConsumer(Consumer):  # type: ignore[misc]  # celery has no types
    """Celery's consumer, which a message of another shape cannot end.

    Celery drops messages of other content types and of tasks that are not there. With a body or a time limit
    of another shape it ends instead, and the message, never acknowledged, comes back to the next worker: one
    of them would stop all workers for good.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Leave of Celery's remote control what only asks: the rest would end workers or their batches."""
        for command in Panel.data.keys() - set(_ANSWERED):
            del Panel.data[command]
        super().__init__(*args, **kwargs)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Give the function that takes a message off the queue."""
        handle = super().create_task_handler(*args, **kwargs)

        def on_message(message: Any) -> None:
            headers = _our_headers(message)
            if headers is None:
                # Nothing of it is shown: it may be meant for whoever reads the log.
                log.error("a message that Nightread did not send was dropped")
                message.reject_log_error(log, self.connection_errors)
                return
            message.headers = headers
            handle(message)

        return on_message


def _is_short_line(text: str) -> bool:
    return text.isprintable() and len(text) <= _LONGEST_TEXT


def _our_headers(message: Any) -> dict[str, Any] | None:
    """Rebuild a message's headers from what ours say in them; None for a message that is none of ours."""
    try:
        args, kwargs, canvas = message.decode()
        texts = [message.headers[name] for name in ("task", "id", "argsrepr")]
        expires = message.headers.get("expires")
        ours = (
            texts[0] in _TASKS
            and all(isinstance(text, str) and _is_short_line(text) for text in texts)
            and isinstance(expires, str | None)
            and (type(args), type(kwargs)) == (list, dict)
            # Tasks to call afterwards, which Nightread never sends.
            and not any(canvas.values())
        )
    except Exception:  # noqa: BLE001  # it can be anything at all, and decoding it raise anything
        return None
    if not ours:
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
