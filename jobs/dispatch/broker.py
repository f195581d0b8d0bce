"""Messages to the workers: wake-up calls that carry a batch's id and nothing else."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis

from config.queues import (
    EVALUATE,
    IDENTITY,
    SCORE_BATCH,
    SCORE_QUEUE,
    SEND_RESULTS,
    SUBMIT_RETRY,
    celery_settings,
)
from db.ledger import Announcement
from jobs.dispatch.away import away_reason, is_brokers
from jobs.errors import AwayError, InputError

log = logging.getLogger(__name__)

_AWAY_SECONDS: Final = 2.0
_PROBE: Final = "nightread.probe"
"""The key by which it is asked whether the broker takes what is written."""


class BrokerAwayError(AwayError):
    """The broker does not answer or takes nothing; what was not sent stays in the ledger until it does."""


class BrokerError(InputError):
    """The broker refuses what Nightread asks of it, for a reason that no waiting mends."""


class Broker:
    """The broker as producers and the reconciler see it."""

    def __init__(self, app: Celery) -> None:
        """Use the broker of a Celery app."""
        self._app = app
        self.away = False
        """Whether it did not answer, or took nothing, when it was last asked."""

    @classmethod
    def connect(cls, url: str, tick_seconds: float) -> "Broker":
        """Make a producer's own app; nothing is sent yet."""
        app = Celery("nightread", set_as_current=False)
        app.conf.update(celery_settings(url, tick_seconds))
        return cls(app)

    def announce(self, batches: Sequence[Announcement]) -> None:
        """Send a message for each batch; BrokerAwayError if one cannot be sent."""
        for batch in batches:
            self._send(
                SCORE_BATCH,
                {"batch_id": batch.batch_id},
                # Flower and the workers' log show this text in place of the arguments.
                f"run {batch.run_id}, batch {batch.number}/{batch.batches}",
            )

    def announce_evaluation(self, evaluation_id: int, run_id: int) -> None:
        """Send the message for an evaluation; BrokerAwayError if it cannot be sent."""
        self._send(EVALUATE, {"evaluation_id": evaluation_id}, f"run {run_id}, evaluation {evaluation_id}")

    def announce_sending(self, sending_id: int, run_id: int) -> None:
        """Send the message for a run's results that are to be sent; BrokerAwayError if it cannot be sent."""
        self._send(SEND_RESULTS, {"sending_id": sending_id}, f"run {run_id}, sending {sending_id}")

    def _send(self, task: str, arguments: Mapping[str, object], shown: str) -> None:
        with self._explained():
            try:
                self._app.send_task(
                    task, kwargs=arguments, argsrepr=shown, kwargsrepr="{}", retry_policy=SUBMIT_RETRY
                )
            except AttributeError as error:
                if error.obj is not None:
                    raise
                # After an error kombu may send by a channel that it has closed; the next one is new.
                raise OperationalError("the connection was closed") from error

    def is_drained(self) -> bool:
        """Return whether no batch waits in the broker; BrokerAwayError if it does not answer."""
        return self.queue_length() == 0

    def queue_length(self) -> int:
        """Return how many batches wait in the broker; BrokerAwayError if it does not answer."""
        with self._explained(), self._app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
            with connection.channel() as channel:
                size: int = channel.queue_declare(SCORE_QUEUE, passive=False).message_count
                return size

    def ask_workers(self, seconds: float = 3.0, *names: str) -> dict[str, Mapping[str, str]]:
        """Return what each worker that answers says of itself; BrokerAwayError if the broker does not.

        Waits so many seconds, or until all of `names` have answered. A worker of an earlier version, which
        does not know the question, answers with its name alone.
        """
        # A connection of its own: one of the pool's may be to a server that has been started again since.
        with self._explained(), self._app.connection_for_write() as connection:
            answers = self._app.control.broadcast(
                IDENTITY, destination=list(names) or None, connection=connection, reply=True, timeout=seconds
            )
        return {
            name: {} if "error" in answer else answer
            for each in answers or []
            for name, answer in each.items()
        }

    def require_writable(self) -> None:
        """Raise BrokerAwayError or BrokerError unless the broker takes what is written."""
        with self.server() as server:
            server.set(_PROBE, "1", ex=1)

    @contextmanager
    def server(self) -> Iterator[Redis]:
        """Return a client of the broker's server; BrokerAwayError or BrokerError as it answers."""
        with self._explained(), self._app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
            with connection.channel() as channel:
                yield channel.client

    def wait_until_writable(self) -> None:
        """Return once the broker takes what is written; the log says once what is waited for."""
        said = None
        while True:
            try:
                self.require_writable()
            except BrokerAwayError as error:
                if str(error) != said:
                    log.warning("waiting: %s", error)
                said = str(error)
                time.sleep(_AWAY_SECONDS)
            else:
                return

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Sort the errors of the broker's connection: BrokerAwayError and BrokerError."""
        try:
            yield
            self.away = False
        except Exception as error:
            if not is_brokers(error):
                raise
            reason = away_reason(error, self.where)
            self.away = reason is not None
            if reason is not None:
                raise BrokerAwayError(reason) from error
            raise BrokerError(
                f"the broker at {self.where} does not serve Nightread, which needs a Redis or Valkey of its "
                f"own: {error}"
            ) from error

    @property
    def where(self) -> str:
        """The broker's URL without its password."""
        shown: str = self._app.connection_for_write().as_uri()
        return shown
