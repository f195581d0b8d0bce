"""The ledger of evaluations: a run's closing one is due once, claimed under a lease, and kept as history."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pandas as pd
from sqlalchemy import Connection, and_, insert, or_, select, update

from db.database import Database, clock
from db.schema import (
    evaluation,
    evaluation_result,
    finding,
    manifest_finding,
    manifest_row,
    model_finding,
    run,
    score,
)


@dataclass(frozen=True, slots=True)
class EvaluationClaim:
    """An evaluation whose lease this worker holds."""

    evaluation_id: int
    run_id: int
    label_manifest_id: int
    closes_run: bool
    token: str


def take_due(database: Database, resend_after_seconds: float) -> list[tuple[int, int]]:
    """Mark the evaluations that are due, or were announced long ago, as queued; returns (evaluation, run)."""
    with database.write() as connection:
        rows = connection.execute(
            update(evaluation)
            .where(
                or_(
                    evaluation.c.state == "due",
                    and_(
                        evaluation.c.state == "queued",
                        evaluation.c.sent_at < clock() - resend_after_seconds,
                    ),
                )
            )
            .values(state="queued", sent_at=clock())
            .returning(evaluation.c.id, evaluation.c.run_id)
        )
        return [(row.id, row.run_id) for row in rows]


def claim_evaluation(database: Database, evaluation_id: int, lease_seconds: float) -> EvaluationClaim | None:
    """Take an evaluation's lease; None if it is done or leased to another."""
    token = uuid4().hex
    with database.write() as connection:
        row = connection.execute(
            update(evaluation)
            .where(evaluation.c.id == evaluation_id, evaluation.c.state.in_(("due", "queued")))
            .values(
                state="running",
                attempt=evaluation.c.attempt + 1,
                lease_token=token,
                lease_expires_at=clock() + lease_seconds,
            )
            .returning(evaluation.c.run_id, evaluation.c.label_manifest_id, evaluation.c.closes_run)
        ).first()
    return (
        None
        if row is None
        else EvaluationClaim(evaluation_id, row.run_id, row.label_manifest_id, row.closes_run, token)
    )


def renew_evaluation(database: Database, held: EvaluationClaim, lease_seconds: float) -> bool:
    """Extend the lease; False if it was lost."""
    with database.write() as connection:
        changed = connection.execute(
            update(evaluation)
            .where(
                evaluation.c.id == held.evaluation_id,
                evaluation.c.state == "running",
                evaluation.c.lease_token == held.token,
            )
            .values(lease_expires_at=clock() + lease_seconds)
        )
        return changed.rowcount == 1


def expire_evaluations(database: Database, max_attempts: int) -> int:
    """Take back evaluations whose worker stopped renewing; after `max_attempts` the run is marked broken."""
    overdue = and_(evaluation.c.state == "running", evaluation.c.lease_expires_at < clock())
    with database.write() as connection:
        again = connection.execute(
            update(evaluation)
            .where(overdue, evaluation.c.attempt < max_attempts)
            .values(state="due", lease_token=None, lease_expires_at=None)
        ).rowcount
        spent = connection.execute(
            update(evaluation)
            .where(overdue, evaluation.c.attempt >= max_attempts)
            .values(state="failed", lease_token=None, lease_expires_at=None)
            .returning(evaluation.c.run_id, evaluation.c.closes_run)
        ).all()
        for row in spent:
            if row.closes_run:
                message = (
                    f"the evaluation failed {max_attempts} times (see the workers' log); all scores are there"
                )
                connection.execute(
                    update(run).where(run.c.id == row.run_id).values(status="broken", message=message)
                )
        return again + len(spent)


def complete_evaluation(
    database: Database, held: EvaluationClaim, results: Sequence[tuple[int, str, dict[str, Any]]]
) -> bool:
    """Write (finding id, subgroup, figures) rows and `done` in one transaction; False without the lease."""
    now = datetime.now(UTC)
    with database.write() as connection:
        changed = connection.execute(
            update(evaluation)
            .where(
                evaluation.c.id == held.evaluation_id,
                evaluation.c.state == "running",
                evaluation.c.lease_token == held.token,
            )
            .values(state="done", lease_token=None, lease_expires_at=None, evaluated_at=now)
        )
        if changed.rowcount != 1:
            return False
        connection.execute(
            insert(evaluation_result),
            [
                {
                    "evaluation_id": held.evaluation_id,
                    "finding_id": finding_id,
                    "subgroup": subgroup,
                    **figures,
                }
                for finding_id, subgroup, figures in results
            ],
        )
        if held.closes_run:
            connection.execute(
                update(run)
                .where(run.c.id == held.run_id, run.c.status == "evaluating")
                .values(status="complete", finished_at=now)
            )
    return True


@dataclass(frozen=True, slots=True)
class ScoredFinding:
    """A finding of a run's model; `position` is its place in the manifest's labels, None if it has none."""

    finding_id: int
    name: str
    threshold: float
    position: int | None


def run_findings(connection: Connection, run_id: int, label_manifest_id: int) -> Sequence[ScoredFinding]:
    """Give the findings that a run has scores for, in the model's order."""
    rows = connection.execute(
        select(finding.c.id, finding.c.name, model_finding.c.threshold, manifest_finding.c.position)
        .join_from(run, model_finding, model_finding.c.model_id == run.c.model_id)
        .join(finding, finding.c.id == model_finding.c.finding_id)
        .outerjoin(
            manifest_finding,
            and_(
                manifest_finding.c.finding_id == finding.c.id,
                manifest_finding.c.manifest_id == label_manifest_id,
            ),
        )
        .where(run.c.id == run_id)
        .order_by(model_finding.c.position)
    )
    return [ScoredFinding(*row) for row in rows]


def finding_frame(connection: Connection, held: EvaluationClaim, finding_id: int) -> pd.DataFrame:
    """Read a finding's probabilities with the images' label strings: columns `probability` and `labels`.

    One finding at a time keeps the memory flat: 112,120 rows instead of 1.6 million.
    """
    return pd.read_sql_query(
        select(score.c.probability, manifest_row.c.labels)
        .join_from(score, manifest_row, manifest_row.c.image_id == score.c.image_id)
        .where(
            score.c.run_id == held.run_id,
            score.c.finding_id == finding_id,
            manifest_row.c.manifest_id == held.label_manifest_id,
        ),
        connection,
    )
