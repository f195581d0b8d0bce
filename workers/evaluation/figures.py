"""From a due evaluation to its figures in the ledger: claimed, computed by the model's kind, written."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from db import evaluations
from db.database import Database
from db.evaluations import EvaluationClaim, Figures
from db.leases import new_token
from db.queries import model_kind
from db.receipts import Patiently
from jobs.lease import LeaseKeeper
from workers.errors import UnknownKindError
from workers.evaluation.classification import evaluate_classification
from workers.evaluation.drift import check_drift
from workers.evaluation.regression import check_regression
from workers.evaluation.segmentation import evaluate_segmentation

EVALUATIONS: Final[Mapping[str, Callable[[Database, EvaluationClaim], Figures]]] = {
    "classification": evaluate_classification,
    "segmentation": evaluate_segmentation,
    "stub": evaluate_classification,
}
"""What computes the figures of a run, by the kind on its model's card."""


def evaluate(
    database: Database, evaluation_id: int, lease_seconds: float, patiently: Patiently
) -> EvaluationClaim | None:
    """Claim an evaluation, compute it and write its rows; None where it is done or claimed by another.

    Raises UnknownKindError where nothing here evaluates the model's kind.
    """
    claim = evaluations.claim_evaluation
    held = patiently(partial(claim, database, evaluation_id, lease_seconds, new_token()))
    if held is None:
        return None
    what = f"run {held.run_id}, evaluation {evaluation_id}"
    renew = partial(evaluations.renew_evaluation, database, held, lease_seconds)
    with LeaseKeeper(renew, lease_seconds, what):
        figures = patiently(partial(evaluate_run, database, held))
        check = patiently(partial(check_regression, database, held))
        drift = patiently(partial(check_drift, database, held))
        patiently(database.analyze)  # people's queries come next
        written = patiently(partial(evaluations.complete_evaluation, database, held, figures, check, drift))
    return held if written else None


def evaluate_run(database: Database, held: EvaluationClaim) -> Figures:
    """Compute an evaluation's figures by its model's kind; UnknownKindError for a kind unknown here."""
    kind = model_kind(database, held.run_id)
    if kind not in EVALUATIONS:
        raise UnknownKindError(
            f"run {held.run_id} is of a model of kind {kind!r}, and this version evaluates "
            f"{', '.join(EVALUATIONS)}; run all workers in the version that scored the run"
        )
    return EVALUATIONS[kind](database, held)
