"""Messages to the workers: wake-up calls that carry a batch's id and nothing else."""

import logging
from collections.abc import Mapping, Sequence

from celery import Celery
from kombu.exceptions import OperationalError

from config.queues import EVALUATE, SCORE_BATCH, SCORE_QUEUE, SUBMIT_RETRY, celery_settings
from db.ledger import Announcement
from jobs.errors import AwayError

log = logging.getLogger(__name__)


class BrokerAwayError(AwayError):
    """The broker does not answer; what was not sent stays in the ledger and is sent later."""


class Broker:
    """The broker as producers and the reconciler see it."""

    def __init__(self, app: Celery) -> None:
        """Use the broker of a Celery app."""
        self._app = app

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

    def _send(self, task: str, arguments: Mapping[str, object], shown: str) -> None:
        try:
            self._app.send_task(
                task, kwargs=arguments, argsrepr=shown, kwargsrepr="{}", retry_policy=SUBMIT_RETRY
            )
        except OperationalError as error:
            raise BrokerAwayError(f"the broker at {self.where} does not answer: {error}") from error

    def is_drained(self) -> bool:
        """Return whether no batch waits in the broker; BrokerAwayError if it does not answer."""
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, timeout=5)
                with connection.channel() as channel:
                    size: int = channel.queue_declare(SCORE_QUEUE, passive=False).message_count
                    return size == 0
        except (OperationalError, ConnectionError) as error:
            raise BrokerAwayError(f"the broker at {self.where} does not answer: {error}") from error

    @property
    def where(self) -> str:
        """The broker's URL without its password."""
        shown: str = self._app.connection_for_write().as_uri()
        return shown
