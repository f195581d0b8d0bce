"""The ledger of batches: claims with leases, results in one guarded transaction, and what reconciles them.

A batch goes pending -> queued (announced to the broker) -> running (a worker holds its lease) -> done. A
message only wakes a worker; a lost, doubled or late one changes nothing, because each step is an UPDATE
that asks for the state before it, and results are written only together with `done` under the lease's
token. Lease times are read off the database's clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, select, update

from db.database import Database, bulk_insert, clock
from db.schema import archive, batch, evaluation, image, image_result, manifest_row, model, run, score

OPEN_STATES: Final = ("pending", "queued", "running")


@dataclass(frozen=True, slots=True)
class Announcement:
    """A batch that is due to be sent to the broker."""

    batch_id: int
    run_id: int
    number: int
    batches: int


@dataclass(frozen=True, slots=True)
class BatchImage:
    """One image of a claimed batch."""

    image_id: int
    image_index: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A batch whose lease this worker holds."""

    batch_id: int
    run_id: int
    number: int
    batches: int
    attempt: int
    token: str
    root: str
    heatmaps: str
    model: str
    model_sha256: str
    images: tuple[BatchImage, ...]


@dataclass(frozen=True, slots=True)
class FindingScore:
    """A finding's probability and, in pixels of the original image, its map's peak and box (x, y, w, h)."""

    finding: str
    probability: float
    peak: tuple[int, int] | None = None
    box: tuple[int, int, int, int] | None = None
    overlay_path: str | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """An image with its scores; `maps` are float16 bytes of shape `map_shape` (h, w, findings)."""

    image_id: int
    width: int
    height: int
    scores: tuple[FindingScore, ...]
    maps: bytes | None = None
    map_shape: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """An image that cannot be scored, and why."""

    image_id: int
    stage: str
    reason: str
    message: str


Outcome = Scored | Failed


def take_pending(database: Database, limit: int, run_id: int | None = None) -> list[Announcement]:
    """Mark up to `limit` pending batches of running runs as queued; the caller then sends their messages.

    Should the caller die before it sent them, `requeue_lost` finds them.
    """
    if limit <= 0:
        return []
    chosen = (
        select(batch.c.id)
        .join(run, run.c.id == batch.c.run_id)
        .where(batch.c.state == "pending", run.c.status == "running")
        .order_by(batch.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=batch)
    )
    if run_id is not None:
        chosen = chosen.where(batch.c.run_id == run_id)
    with database.write() as connection:
        taken = connection.execute(
            update(batch)
            .where(batch.c.id.in_(chosen.scalar_subquery()), batch.c.state == "pending")
            .values(state="queued", sent_at=clock())
            .returning(
                batch.c.id,
                batch.c.run_id,
                batch.c.number,
                select(run.c.batches).where(run.c.id == batch.c.run_id).scalar_subquery(),
            )
        )
        return sorted((Announcement(*row) for row in taken), key=lambda one: one.batch_id)


def count_queued(database: Database) -> int:
    """Count the batches that were announced and not yet claimed."""
    with database.read() as connection:
        count: int = connection.execute(
            select(func.count()).select_from(batch).where(batch.c.state == "queued")
        ).scalar_one()
        return count


def claim(database: Database, batch_id: int, worker: str, lease_seconds: float) -> Claim | None:
    """Take a batch's lease; None if it is done, leased to another, or its run does not go on."""
    token = uuid4().hex
    with database.write() as connection:
        taken = connection.execute(
            update(batch)
            .where(
                batch.c.id == batch_id,
                batch.c.state.in_(("pending", "queued")),
                exists().where(run.c.id == batch.c.run_id, run.c.status == "running"),
            )
            .values(
                state="running",
                attempt=batch.c.attempt + 1,
                lease_token=token,
                lease_expires_at=clock() + lease_seconds,
                worker=worker,
                started_at=datetime.now(UTC),
            )
            .returning(batch.c.run_id, batch.c.number, batch.c.first_row, batch.c.last_row, batch.c.attempt)
        ).first()
        if taken is None:
            return None
        facts = connection.execute(
            select(
                run.c.manifest_id, run.c.batches, run.c.heatmaps, model.c.name.label("model"), model.c.sha256
            )
            .join(model, model.c.id == run.c.model_id)
            .where(run.c.id == taken.run_id)
        ).one()
        rows = connection.execute(
            select(image.c.id, image.c.image_index, archive.c.root)
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
        model=facts.model,
        model_sha256=facts.sha256,
        images=tuple(BatchImage(row.id, row.image_index) for row in rows),
    )


def _held(held: Claim) -> ColumnElement[bool]:
    return and_(batch.c.id == held.batch_id, batch.c.state == "running", batch.c.lease_token == held.token)


def renew(database: Database, held: Claim, lease_seconds: float) -> bool:
    """Extend the lease; False if it was lost, and the work on the batch is for nothing."""
    with database.write() as connection:
        changed = connection.execute(
            update(batch).where(_held(held)).values(lease_expires_at=clock() + lease_seconds)
        )
        return changed.rowcount == 1


def release(database: Database, held: Claim) -> bool:
    """Give a batch back that cannot be finished for no fault of its own: the attempt does not count."""
    with database.write() as connection:
        changed = connection.execute(
            update(batch)
            .where(_held(held))
            .values(
                state="pending",
                attempt=batch.c.attempt - 1,
                lease_token=None,
                lease_expires_at=None,
                worker=None,
            )
        )
        return changed.rowcount == 1


def abandon(database: Database, held: Claim) -> None:
    """End the lease of a batch that went wrong: the reconciler retries it or, at the cap, splits it."""
    with database.write() as connection:
        connection.execute(update(batch).where(_held(held)).values(lease_expires_at=clock() - 1.0))


def complete(database: Database, held: Claim, outcomes: Sequence[Outcome], findings: dict[str, int]) -> bool:
    """Write a batch's results and `done` in one transaction; without the lease write nothing and give False.

    `findings` maps the names in the scores to their ids.
    """
    if sorted(one.image_id for one in outcomes) != sorted(one.image_id for one in held.images):
        raise ValueError(
            f"batch {held.batch_id}: the outcomes are not those of its {len(held.images)} images"
        )
    scored = [one for one in outcomes if isinstance(one, Scored)]
    failed = [one for one in outcomes if isinstance(one, Failed)]
    with database.write() as connection:
        changed = connection.execute(
            update(batch)
            .where(_held(held))
            .values(
                state="done",
                lease_token=None,
                lease_expires_at=None,
                finished_at=datetime.now(UTC),
                scored=len(scored),
                failed=len(failed),
            )
        )
        if changed.rowcount != 1:
            return False
        _write_failed(connection, held.run_id, held.batch_id, failed)
        _write_scored(connection, held, scored, findings)
    return True


def _write_failed(connection: Connection, run_id: int, batch_id: int, failed: Sequence[Failed]) -> None:
    if failed:
        connection.execute(
            insert(image_result),
            [
                {
                    "run_id": run_id,
                    "image_id": one.image_id,
                    "batch_id": batch_id,
                    "status": "failed",
                    "stage": one.stage,
                    "reason": one.reason,
                    "message": one.message,
                }
                for one in failed
            ],
        )


def _write_scored(
    connection: Connection, held: Claim, scored: Sequence[Scored], findings: dict[str, int]
) -> None:
    bulk_insert(
        connection,
        image_result,
        ("run_id", "image_id", "batch_id", "status", "width", "height", "maps", "map_height", "map_width"),
        (
            (
                held.run_id,
                one.image_id,
                held.batch_id,
                "scored",
                one.width,
                one.height,
                one.maps,
                *(one.map_shape or (None, None)),
            )
            for one in scored
        ),
    )
    nowhere = (None, None, None, None)
    bulk_insert(
        connection,
        score,
        (
            "run_id",
            "image_id",
            "finding_id",
            "probability",
            "peak_x",
            "peak_y",
            "box_x",
            "box_y",
            "box_width",
            "box_height",
            "overlay_path",
        ),
        (
            (
                held.run_id,
                one.image_id,
                findings[value.finding],
                value.probability,
                *(value.peak or nowhere[:2]),
                *(value.box or nowhere),
                value.overlay_path,
            )
            for one in scored
            for value in one.scores
        ),
    )


def expire_leases(database: Database, max_attempts: int) -> int:
    """Take back the batches whose worker stopped renewing; returns how many.

    After `max_attempts` a batch is split into its single images, and a single image is failed: a file that
    kills its worker costs itself and nothing else.
    """
    overdue = and_(batch.c.state == "running", batch.c.lease_expires_at < clock())
    free = {"lease_token": None, "lease_expires_at": None, "worker": None}
    with database.write() as connection:
        retried = connection.execute(
            update(batch).where(overdue, batch.c.attempt < max_attempts).values(state="pending", **free)
        ).rowcount
        spent = connection.execute(
            update(batch)
            .where(overdue, batch.c.attempt >= max_attempts)
            .values(state="split", **free)
            .returning(batch.c.id, batch.c.run_id, batch.c.number, batch.c.first_row, batch.c.last_row)
        ).all()
        for row in spent:
            if row.first_row == row.last_row:
                _fail_deadly_image(connection, row.id, row.run_id, row.first_row, max_attempts)
            else:
                connection.execute(
                    insert(batch),
                    [
                        {"run_id": row.run_id, "number": row.number, "first_row": one, "last_row": one}
                        for one in range(row.first_row, row.last_row + 1)
                    ],
                )
    return retried + len(spent)


def _fail_deadly_image(
    connection: Connection, batch_id: int, run_id: int, row_number: int, attempts: int
) -> None:
    image_id: int = connection.execute(
        select(manifest_row.c.image_id)
        .join(run, run.c.manifest_id == manifest_row.c.manifest_id)
        .where(run.c.id == run_id, manifest_row.c.row_number == row_number)
    ).scalar_one()
    message = f"{attempts} workers died or hung while they worked on this image alone"
    _write_failed(connection, run_id, batch_id, [Failed(image_id, "worker", "worker_died", message)])
    connection.execute(
        update(batch)
        .where(batch.c.id == batch_id)
        .values(state="done", failed=1, finished_at=datetime.now(UTC))
    )


def requeue_lost(database: Database, older_than_seconds: float) -> int:
    """Make batches pending again that were announced so long ago and never claimed; returns how many.

    Only for a caller who knows that the broker holds no message any more: a long queue is no loss.
    """
    with database.write() as connection:
        return connection.execute(
            update(batch)
            .where(batch.c.state == "queued", batch.c.sent_at < clock() - older_than_seconds)
            .values(state="pending", sent_at=None)
        ).rowcount


def has_queued_before(database: Database, older_than_seconds: float) -> bool:
    """Tell whether a batch was announced that long ago and not claimed since."""
    with database.read() as connection:
        return (
            connection.execute(
                select(batch.c.id)
                .where(batch.c.state == "queued", batch.c.sent_at < clock() - older_than_seconds)
                .limit(1)
            ).first()
            is not None
        )


def close_finished(database: Database, run_id: int | None = None) -> list[int]:
    """Make the evaluation of each run due whose last batch is done, exactly once; returns the evaluations.

    The caller has committed its own batch before it asks, so of two batches that end at the same time the
    later one sees both; the UPDATE of the run's status lets one of them win. The images' outcomes are counted
    against the manifest first: a run with a gap is marked broken, never complete.
    """
    work_left = exists().where(batch.c.run_id == run.c.id, batch.c.state.in_(OPEN_STATES))
    finished = [run.c.status == "running", ~work_left]
    if run_id is not None:
        finished.append(run.c.id == run_id)
    with database.read() as connection:
        if connection.execute(select(run.c.id).where(*finished).limit(1)).first() is None:
            return []
    due = []
    with database.write() as connection:
        closed = connection.execute(
            update(run)
            .where(*finished)
            .values(status="evaluating")
            .returning(run.c.id, run.c.images, run.c.manifest_id)
        ).all()
        for row in closed:
            outcomes: int = connection.execute(
                select(func.count()).select_from(image_result).where(image_result.c.run_id == row.id)
            ).scalar_one()
            if outcomes != row.images:
                message = f"{row.images} rows in the manifest but {outcomes} outcomes; please report this"
                connection.execute(
                    update(run).where(run.c.id == row.id).values(status="broken", message=message)
                )
                continue
            due.append(
                connection.execute(
                    insert(evaluation)
                    .values(
                        run_id=row.id,
                        label_manifest_id=row.manifest_id,
                        label_set="manifest",
                        closes_run=True,
                    )
                    .returning(evaluation.c.id)
                ).scalar_one()
            )
    return due
