"""The ledger of batches: announcing, claims with leases, and results in one guarded transaction.

A batch goes pending -> queued (announced to the broker) -> running (a worker holds its lease) -> done. A
message only wakes a worker; a lost, duplicated or late one changes nothing, because each step is an UPDATE
that requires the state before it, and results are written only together with `done` under the lease's
token.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import attrgetter

from sqlalchemy import exists, func, select, update

from db import leases
from db.database import Database, clock
from db.outcomes import BatchKeys, Failed, Outcome
from db.schema.archives import archive, finding, image, manifest_row
from db.schema.runs import batch, model, model_finding, run
from db.states import CLAIMABLE_BATCHES, BatchState, RunStatus


@dataclass(frozen=True, slots=True)
class Announcement:
    """A batch that is due to be sent to the broker."""

    batch_id: int
    run_id: int
    number: int
    batches: int


@dataclass(frozen=True, slots=True)
class BatchImage:
    """One image of a claimed batch; `files`: of a case of volumes, paths of files by what they are."""

    image_id: int
    image_index: str
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Claim:
    """A batch whose lease this worker holds.

    `bits`: used in 16-bit pictures, None where each is judged by itself. `findings`: the ids of the model's
    findings by name, in the model's order.
    """

    batch_id: int
    run_id: int
    number: int
    batches: int
    attempt: int
    token: str
    root: str
    heatmaps: str
    bits: int | None
    model: str
    card_sha256: str
    findings: dict[str, int]
    images: tuple[BatchImage, ...]


def take_pending(database: Database, limit: int, run_id: int | None = None) -> list[Announcement]:
    """Mark up to `limit` pending batches of running runs as queued; the caller then sends their messages.

    What cannot be sent goes to `put_back`. Should the caller die before it sent them, `recovery.requeue_lost`
    finds them.
    """
    if limit <= 0:
        return []
    chosen = (
        select(batch.c.id)
        .join(run, run.c.id == batch.c.run_id)
        .where(batch.c.state == BatchState.PENDING, run.c.status == RunStatus.RUNNING)
        .order_by(batch.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=batch)
    )
    if run_id is not None:
        chosen = chosen.where(batch.c.run_id == run_id)
    # In a WITH, which PostgreSQL evaluates once as it locks rows. It was seen to evaluate a subquery for each
    # row instead, and each time to pass over what it had changed before: all batches were taken, not `limit`.
    picked = chosen.cte("picked")
    with database.write() as connection:
        taken = connection.execute(
            update(batch)
            .where(batch.c.id.in_(select(picked.c.id)), batch.c.state == BatchState.PENDING)
            .values(state=BatchState.QUEUED, sent_at=clock())
            .returning(
                batch.c.id,
                batch.c.run_id,
                batch.c.number,
                select(run.c.batches).where(run.c.id == batch.c.run_id).scalar_subquery(),
            )
        )
        return sorted((Announcement(*row) for row in taken), key=attrgetter("batch_id"))


def put_back(database: Database, batch_ids: Sequence[int]) -> None:
    """Make batches pending again whose messages could not be sent, unless a worker has one all the same."""
    with database.write() as connection:
        connection.execute(
            update(batch)
            .where(batch.c.id.in_(batch_ids), batch.c.state == BatchState.QUEUED)
            .values(state=BatchState.PENDING, sent_at=None)
        )


def count_queued(database: Database) -> int:
    """Count the batches that were announced and not yet claimed."""
    with database.read() as connection:
        count: int = connection.execute(
            select(func.count()).select_from(batch).where(batch.c.state == BatchState.QUEUED)
        ).scalar_one()
        return count


def claim(
    database: Database, batch_id: int, worker: str, lease_seconds: float, token: str | None = None
) -> Claim | None:
    """Take a batch's lease; None if it is done or leased to another, or its run was stopped.

    Whoever repeats this gives the same `token` each time: what was committed before is found again.
    """
    token = token or leases.new_token()
    with database.write() as connection:
        taken = connection.execute(
            leases.take(batch, batch_id, CLAIMABLE_BATCHES, token, lease_seconds)
            .where(exists().where(run.c.id == batch.c.run_id, run.c.status == RunStatus.RUNNING))
            .values(worker=worker, started_at=func.coalesce(batch.c.started_at, datetime.now(UTC)))
            .returning(batch.c.run_id, batch.c.number, batch.c.first_row, batch.c.last_row, batch.c.attempt)
        ).first()
        if taken is None:
            return None
        # One row per finding, each with the same facts of the run, which saves one statement per batch.
        findings = connection.execute(
            select(
                run.c.manifest_id,
                run.c.batches,
                run.c.heatmaps,
                run.c.bits,
                model.c.name.label("model"),
                model.c.card_sha256,
                finding.c.name,
                finding.c.id,
            )
            .join(model, model.c.id == run.c.model_id)
            .join(model_finding, model_finding.c.model_id == model.c.id)
            .join(finding, finding.c.id == model_finding.c.finding_id)
            .where(run.c.id == taken.run_id)
            .order_by(model_finding.c.position)
        ).all()
        facts = findings[0]
        rows = connection.execute(
            select(image.c.id, image.c.image_index, archive.c.root, manifest_row.c.files)
            .join_from(manifest_row, image, image.c.id == manifest_row.c.image_id)
            .join(archive, archive.c.id == image.c.archive_id)
            .where(
                manifest_row.c.manifest_id == facts.manifest_id,
                manifest_row.c.row_number.between(taken.first_row, taken.last_row),
            )
            .order_by(manifest_row.c.row_number)
        ).all()
    return Claim(
        batch_id=batch_id,
        run_id=taken.run_id,
        number=taken.number,
        batches=facts.batches,
        attempt=taken.attempt,
        token=token,
        root=rows[0].root,
        heatmaps=facts.heatmaps,
        bits=facts.bits,
        model=facts.model,
        card_sha256=facts.card_sha256,
        findings={row.name: row.id for row in findings},
        images=tuple(
            BatchImage(row.id, row.image_index, json.loads(row.files) if row.files else {}) for row in rows
        ),
    )


def renew(database: Database, held: Claim, lease_seconds: float) -> bool:
    """Extend the lease; False if it was lost."""
    return leases.renew(database, batch, held.batch_id, held.token, lease_seconds)


def release(database: Database, held: Claim, waits_for: str | None = None) -> bool:
    """Give back a batch that cannot be finished through no fault of its own: the attempt does not count.

    `waits_for`: what its run goes on with once it is there again; the run says so until a batch is done.
    """
    with database.write() as connection:
        if waits_for is not None:
            connection.execute(update(run).where(run.c.id == held.run_id).values(waits_for=waits_for))
        changed = connection.execute(
            update(batch)
            .where(leases.held(batch, held.batch_id, held.token))
            .values(state=BatchState.PENDING, attempt=batch.c.attempt - 1, worker=None, **leases.FREE)
        )
        return changed.rowcount == 1


def abandon(database: Database, held: Claim) -> None:
    """End the lease of a batch that went wrong: the reconciler retries it or, at the cap, splits it."""
    with database.write() as connection:
        connection.execute(
            update(batch)
            .where(leases.held(batch, held.batch_id, held.token))
            .values(lease_expires_at=clock() - 1.0)
        )


def complete(database: Database, held: Claim, outcomes: Sequence[Outcome], engine: str | None = None) -> bool:
    """Write a batch's results and `done` in one transaction; False, and nothing written, without the lease.

    True also where an earlier call for this claim has written them. `engine` names what ran the network.
    Raises ValueError for outcomes of other images, and KeyError for the score of a finding that is not the
    model's.
    """
    if sorted(outcome.image_id for outcome in outcomes) != sorted(image.image_id for image in held.images):
        raise ValueError(
            f"batch {held.batch_id}: the outcomes are not those of its {len(held.images)} images"
        )
    by_kind: dict[type[Outcome], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_kind[type(outcome)].append(outcome)
    failed = len(by_kind.get(Failed, ()))
    with database.write() as connection:
        changed = connection.execute(
            update(batch)
            .where(leases.held(batch, held.batch_id, held.token))
            .values(
                finished_at=datetime.now(UTC),
                scored=len(outcomes) - failed,
                failed=failed,
                engine=engine,
                **leases.FINISHED,
            )
        )
        if changed.rowcount != 1:
            return leases.finished_under(connection, batch, held.batch_id, held.token)
        connection.execute(
            update(run).where(run.c.id == held.run_id, run.c.waits_for.is_not(None)).values(waits_for=None)
        )
        keys = BatchKeys(held.run_id, held.batch_id, held.findings)
        for kind, outcomes_of_kind in by_kind.items():
            kind.write(connection, keys, outcomes_of_kind)
    return True
