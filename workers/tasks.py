"""The tasks: thin doors from a message to the child that does the work."""

import logging
from typing import Any

from config.queues import EVALUATE, RECONCILE, SCORE_BATCH
from workers.app import app
from workers.child import current_child

log = logging.getLogger(__name__)


def _is_id(value: Any) -> bool:
    """Tell whether a message carries an id; what else it may carry is not ours."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return True
    log.error("a message without a valid id was dropped")
    return False


@app.task(name=SCORE_BATCH)  # type: ignore[untyped-decorator]  # celery has no types
def score_batch(batch_id: int) -> None:
    """Score the batch, unless it is done or leased."""
    if _is_id(batch_id):
        current_child().score_batch(batch_id)


@app.task(name=EVALUATE)  # type: ignore[untyped-decorator]
def evaluate(evaluation_id: int) -> None:
    """Compute the evaluation, unless it is done or leased."""
    if _is_id(evaluation_id):
        current_child().evaluate(evaluation_id)


@app.task(name=RECONCILE)  # type: ignore[untyped-decorator]
def reconcile() -> None:
    """Bring the ledger forward; beat calls this."""
    current_child().reconcile()
