"""Create runs with their batches, and change a run's status on its owner's word."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from db.database import Database, bulk_insert
from db.errors import UnknownRunError
from db.manifests import finding_ids
from db.schema import batch, manifest, model, model_finding, run


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a run's rows keep of the model card."""

    name: str
    sha256: str
    card_json: str
    card_sha256: str
    findings: Sequence[str]
    thresholds: Sequence[float]


def find_or_write_model(connection: Connection, facts: ModelFacts) -> int:
    """Give the id of the model with this very card, writing it if it is new."""
    added = connection.execute(
        upsert(model)
        .values(name=facts.name, sha256=facts.sha256, card=facts.card_json, card_sha256=facts.card_sha256)
        .on_conflict_do_nothing()
        .returning(model.c.id)
    ).scalar_one_or_none()
    if added is None:
        known: int = connection.execute(
            select(model.c.id).where(model.c.card_sha256 == facts.card_sha256)
        ).scalar_one()
        return known
    ids = finding_ids(connection, facts.findings)
    connection.execute(
        insert(model_finding),
        [
            {"model_id": added, "finding_id": ids[name], "position": position, "threshold": threshold}
            for position, (name, threshold) in enumerate(zip(facts.findings, facts.thresholds, strict=True))
        ],
    )
    return int(added)


def create_run(
    connection: Connection, *, manifest_id: int, model_id: int, heatmaps: str, batch_size: int, version: str
) -> int:
    """Write a run over all rows of a manifest and its batches; the caller's commit makes them real."""
    images: int = connection.execute(select(manifest.c.rows).where(manifest.c.id == manifest_id)).scalar_one()
    firsts = range(1, images + 1, batch_size)
    run_id: int = connection.execute(
        insert(run)
        .values(
            manifest_id=manifest_id,
            model_id=model_id,
            status="running",
            images=images,
            batches=len(firsts),
            heatmaps=heatmaps,
            version=version,
            created_at=datetime.now(UTC),
        )
        .returning(run.c.id)
    ).scalar_one()
    bulk_insert(
        connection,
        batch,
        ("run_id", "number", "first_row", "last_row"),
        (
            (run_id, number, first, min(first + batch_size - 1, images))
            for number, first in enumerate(firsts, start=1)
        ),
    )
    return run_id


def cancel(database: Database, run_id: int) -> bool:
    """Stop a run from being worked on; batches under way still end. False if it was not running."""
    with database.write() as connection:
        _require(connection, run_id)
        changed = connection.execute(
            update(run).where(run.c.id == run_id, run.c.status == "running").values(status="cancelled")
        )
        # Their messages are refused from now on; as queued ones they would hold places of the window.
        connection.execute(
            update(batch).where(batch.c.run_id == run_id, batch.c.state == "queued").values(state="pending")
        )
        return changed.rowcount == 1


def resume(database: Database, run_id: int) -> bool:
    """Let a cancelled run go on; True if it has work left or an evaluation to come."""
    with database.write() as connection:
        _require(connection, run_id)
        connection.execute(
            update(run).where(run.c.id == run_id, run.c.status == "cancelled").values(status="running")
        )
        status: str = connection.execute(select(run.c.status).where(run.c.id == run_id)).scalar_one()
        return status in {"running", "evaluating"}


def _require(connection: Connection, run_id: int) -> None:
    if connection.execute(select(run.c.id).where(run.c.id == run_id)).first() is None:
        raise UnknownRunError(f"there is no run {run_id}; see: nightread status")
