"""Whether a schedule's newest evaluation is worse than the one before, by a paired test."""

from db import alerts
from db.alerts import Predecessor, RegressionCheck
from db.database import Database, Record
from db.evaluations import EvaluationClaim
from workers.evaluation.comparison import SIGNIFICANT, compare_runs


def check_regression(database: Database, held: EvaluationClaim) -> RegressionCheck | None:
    """Test a scheduled evaluation's run against the run that the schedule evaluated before it.

    None where there is nothing to test: no schedule, its first evaluation, or the same model, which gave the
    images of both runs the same scores. A loss is a significant difference of AUROCs beyond the schedule's
    margin; where there is one, the result carries the alert's message.
    """
    if held.schedule_id is None:
        return None
    with database.read() as connection:
        predecessor = alerts.predecessor(connection, held.schedule_id, held.evaluation_id, held.run_id)
    if predecessor is None:
        return None
    compared = compare_runs(database, predecessor.run_id, held.run_id, held.label_manifest_id)
    lost = [row for row in compared.rows if is_loss(row, predecessor.margin)]
    return RegressionCheck(
        held.schedule_id,
        held.evaluation_id,
        predecessor.run_id,
        held.run_id,
        held.label_manifest_id,
        held.label_set,
        compared,
        message=_message(predecessor, held.run_id, lost) if lost else None,
    )


def is_loss(row: Record, margin: float) -> bool:
    """Return whether a comparison's row, with the earlier run as `a` and the new one as `b`, shows a loss."""
    difference, p_holm = row["difference"], row["p_holm"]
    return difference is not None and p_holm is not None and difference > margin and p_holm < SIGNIFICANT


def _message(predecessor: Predecessor, run_id: int, lost: list[Record]) -> str:
    findings = ", ".join(f"{row['finding']} {row['auroc_a']:.3f} -> {row['auroc_b']:.3f}" for row in lost)
    return (
        f"schedule {predecessor.schedule}: model {predecessor.model_now} in run {run_id} finds less than "
        f"model {predecessor.model} in run {predecessor.run_id}; AUROC of {findings}"
    )
