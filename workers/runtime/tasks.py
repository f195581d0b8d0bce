"""The tasks: each passes a message on to the child that does the work."""

import logging
from typing import TYPE_CHECKING, Final

from config.queues import EVALUATE, LONGEST_RECONCILIATION_SECONDS, RECONCILE, SCORE_BATCH, SEND_RESULTS
from workers.runtime.app import app

if TYPE_CHECKING:  # a worker's parent, beat and Flower load this module and need no numeric libraries
    from workers.runtime.child import Child

log = logging.getLogger(__name__)

_LARGEST_ID: Final = 2**31 - 1  # the largest integer in both databases

_child: "Child | None" = None


def set_child(child: "Child") -> None:
    """Keep the process's child where its tasks find it."""
    global _child  # noqa: PLW0603  # Celery gives tasks no other place for their process's state
    _child = child


def current_child() -> "Child":
    """Return the process's child."""
    if _child is None:
        raise RuntimeError("a task ran outside a worker's child process")
    return _child


def _is_id(value: object) -> bool:
    """Return whether a message carries an id; anything else it may carry is not ours."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST_ID:
        return True
    log.error("a message without a valid id was dropped")
    return False


@app.task(name=SCORE_BATCH)
def score_batch(batch_id: int) -> None:
    """Score the batch, unless it is done or leased."""
    if _is_id(batch_id):
        current_child().score_batch(batch_id)


@app.task(name=EVALUATE)
def evaluate(evaluation_id: int) -> None:
    """Compute the evaluation, unless it is done or leased."""
    if _is_id(evaluation_id):
        current_child().evaluate(evaluation_id)


@app.task(name=SEND_RESULTS)
def send_results(sending_id: int) -> None:
    """Send a run's results for a while, unless that is done or leased."""
    if _is_id(sending_id):
        current_child().send_results(sending_id)


@app.task(name=RECONCILE, time_limit=LONGEST_RECONCILIATION_SECONDS)
def reconcile() -> None:
    """Bring the ledger forward; beat calls this."""
    current_child().reconcile()
