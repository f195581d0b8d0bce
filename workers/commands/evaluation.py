"""An evaluation that a command computes itself, for a person waiting for its figures."""

from config.settings import Settings
from db.database import Database
from db.receipts import patiently
from jobs.console import EXIT_INCOMPLETE, err, fail
from workers.evaluation.figures import evaluate


def evaluate_now(database: Database, settings: Settings, evaluation_id: int) -> None:
    """Compute a due evaluation in this process, without queue or worker.

    Should this process be killed, the next reconciliation anywhere takes the evaluation up.
    """
    with err.status(f"evaluating ({evaluation_id})"):
        if evaluate(database, evaluation_id, settings.lease_seconds, patiently) is None:
            fail(
                f"evaluation {evaluation_id} is being computed by a worker; see the view auc", EXIT_INCOMPLETE
            )
