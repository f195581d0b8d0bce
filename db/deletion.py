"""Deleting runs: a mark, under which no view shows a run, and then its rows, some thousand images at a time.

The mark is one transaction with everything that must not be half there. What follows can be cut off anywhere
and goes on wherever it is called again, in a worker at a tick or in the command.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    cast,
    delete,
    func,
    literal,
    or_,
    select,
    text,
    union_all,
    update,
)

from db import leases
from db.database import Database, clock
from db.errors import DatabaseError, UnknownRunError
from db.manifests import delete_unneeded
from db.measures import keep_counted
from db.receipts import patiently, write_once
from db.schema import metadata
from db.schema.archives import manifest, manifest_row
from db.schema.deliveries import delivery, sending
from db.schema.evaluations import (
    agreement_result,
    comparison,
    comparison_result,
    drift_check,
    drift_result,
    evaluation,
    operating_result,
)
from db.schema.runs import batch, earlier_failure, image_result, run, score
from db.schema.schedules import alert, schedule, schedule_due
from db.schema.segmentations import segment, volume_result
from db.states import GONE, OPEN_EVALUATIONS, OPEN_SENDINGS, BatchState, ImageStatus, RunStatus

IMAGES_AT_ONCE: Final = 4_000
"""Images whose rows are deleted in one transaction, which takes a fraction of a second: 14 scores of each."""

_ROWS_AT_ONCE: Final = 20_000
"""Batches, and rows of manifests, that are deleted in one transaction."""

OF_IMAGES: Final = (score, segment, volume_result, delivery, earlier_failure, image_result)
"""The tables with a run's rows of its images."""

OF_RUN: Final = (agreement_result, operating_result, sending)
"""The tables with a run's few other rows."""

OF_EVALUATION: Final = tuple(
    table
    for table in metadata.tables.values()
    if "evaluation_id" in table.c and table.c.evaluation_id.primary_key
)
"""The tables with an evaluation's figures."""

KEPT: Final = (evaluation, schedule_due, drift_check, comparison)
"""The other tables that name a run: history, which names it for as long as it is there itself."""


class RunInUseError(DatabaseError):
    """A run cannot be deleted, or not without more being asked for; the message says why."""


class Naming(NamedTuple):
    """An evaluation that something names, and what that is."""

    evaluation_id: int
    by: str


@dataclass(frozen=True, slots=True)
class Deletion:
    """What deleting a run comes to.

    `images`: of the run. `named`: its evaluations that stay, or go with what names them. `status`: of the run
    as it was; one of `GONE` where it was deleted before.
    """

    run_id: int
    status: RunStatus
    images: int
    named: list[Naming]


def look_at(database: Database, run_id: int, *, force: bool = False) -> Deletion:
    """Return what deleting a run would come to; UnknownRunError, or RunInUseError if it would be refused."""
    with database.read() as connection:
        return _look_at(connection, run_id, force=force)


def mark(database: Database, run_id: int, *, force: bool = False) -> None:
    """Delete a run's evaluations that nothing names and hide its rows; `delete_rows` deletes those.

    With `force` also the other evaluations and what names them: comparisons, alerts, checks of drift. Nothing
    happens to a run that was marked before. Raises as `look_at`.
    """

    def write(connection: Connection) -> None:
        # Whoever else would delete or resume the run waits here.
        connection.execute(select(run.c.id).where(run.c.id == run_id).with_for_update(key_share=True))
        found = _look_at(connection, run_id, force=force)
        if found.status in GONE:
            return
        keep_counted(connection, run_id)
        if force:
            _delete_naming(connection, run_id)
        kept = [] if force else [naming.evaluation_id for naming in found.named]
        _delete_evaluations(connection, run_id, kept)
        for table in OF_RUN:
            connection.execute(delete(table).where(table.c.run_id == run_id))
        # Should a worker whose lease is over live on, it writes nothing.
        connection.execute(
            update(batch)
            .where(batch.c.run_id == run_id, batch.c.state == BatchState.RUNNING)
            .values(state=BatchState.PENDING, **leases.FREE)
        )
        connection.execute(
            update(run)
            .where(run.c.id == run_id)
            .values(status=RunStatus.DELETING, calibrated_by=None, waits_for=None)
        )

    write_once(database, write)


def marked(database: Database) -> list[int]:
    """Return the runs whose rows are still to be deleted."""
    with database.read() as connection:
        return list(
            connection.execute(
                select(run.c.id).where(run.c.status == RunStatus.DELETING).order_by(run.c.id)
            ).scalars()
        )


def delete_rows(database: Database, run_id: int) -> Iterator[int]:
    """Delete the rows of a marked run; yields after each transaction how many images' rows went with it.

    Several may do it at once: each transaction waits for the one before.
    """
    while images := patiently(partial(_delete_images, database, run_id)):
        yield images
    while patiently(partial(_delete_others, database, run_id)):
        yield 0


def _is_marked(connection: Connection, run_id: int) -> bool:
    """Return whether a run is still to be deleted; if so, only by this transaction until its end."""
    held = (
        select(run.c.id)
        .where(run.c.id == run_id, run.c.status == RunStatus.DELETING)
        .with_for_update(key_share=True)
    )
    return connection.execute(held).first() is not None


def _delete_images(database: Database, run_id: int) -> int:
    """Delete the rows of some images of a run; returns of how many, 0 where none is left."""
    with database.write() as connection:
        if not _is_marked(connection, run_id):
            return 0
        some = (
            select(image_result.c.image_id)
            .where(image_result.c.run_id == run_id)
            .order_by(image_result.c.image_id)
            .limit(IMAGES_AT_ONCE)
            .subquery()
        )
        first, last, images = connection.execute(
            select(func.min(some.c.image_id), func.max(some.c.image_id), func.count()).select_from(some)
        ).one()
        if images:
            for table in OF_IMAGES:
                of_images = and_(table.c.run_id == run_id, table.c.image_id.between(first, last))
                connection.execute(delete(table).where(of_images))
    return int(images)


def _delete_others(database: Database, run_id: int) -> bool:
    """Delete some of a run's batches, then rows of manifests that nobody needs without it, then close it.

    Returns whether there was something to delete.
    """
    with database.write() as connection:
        if not _is_marked(connection, run_id):
            return False
        some = select(batch.c.id).where(batch.c.run_id == run_id).limit(_ROWS_AT_ONCE)
        if connection.execute(delete(batch).where(batch.c.id.in_(some))).rowcount:
            return True
        if delete_unneeded(connection, _ROWS_AT_ONCE):
            return True
        connection.execute(update(run).where(run.c.id == run_id).values(status=RunStatus.DELETED))
    return False


# --- what stands against it --------------------------------------------------------------------------------


def _look_at(connection: Connection, run_id: int, *, force: bool) -> Deletion:
    row = connection.execute(select(run).where(run.c.id == run_id)).first()
    if row is None:
        raise UnknownRunError(f"there is no run {run_id}; see: nightread status")
    if row.status in GONE:
        return Deletion(run_id, row.status, row.images, [])
    if row.status == RunStatus.RUNNING:
        raise RunInUseError(f"run {run_id} is running; first: nightread cancel {run_id}")
    scoring = connection.execute(
        select(func.count()).where(
            batch.c.run_id == run_id, batch.c.state == BatchState.RUNNING, batch.c.lease_expires_at > clock()
        )
    ).scalar_one()
    if scoring:
        raise RunInUseError(
            f"{scoring} batches of run {run_id} are still being scored; try again in a minute"
        )
    at_work = connection.execute(
        select(evaluation.c.id)
        .where(evaluation.c.run_id == run_id, evaluation.c.state.in_(OPEN_EVALUATIONS))
        .limit(1)
    ).scalar_one_or_none()
    if at_work is not None and not (force and row.status.settled):
        raise RunInUseError(
            f"evaluation {at_work} of run {run_id} is not done yet; delete the run afterwards"
        )
    receiver = connection.execute(
        select(sending.c.target)
        .where(sending.c.run_id == run_id, sending.c.state.in_(OPEN_SENDINGS))
        .limit(1)
    ).scalar_one_or_none()
    if receiver is not None and row.status == RunStatus.COMPLETE and not force:
        raise RunInUseError(
            f"results of run {run_id} are still sent to {receiver}; delete the run afterwards"
        )
    baseline_of = connection.execute(
        select(schedule.c.name)
        .where(schedule.c.baseline_id == run_id, schedule.c.removed_at.is_(None))
        .order_by(schedule.c.name)
    ).scalars()
    for name in baseline_of:
        raise RunInUseError(
            f"run {run_id} is the baseline of schedule {name}; first: nightread schedule remove {name}"
        )
    if not force:
        user = _needed_by(connection, run_id)
        if user is not None:
            raise RunInUseError(
                f"schedule {user.schedule} counts on scores of run {run_id}: its run {user.run_id} is "
                "evaluated with them, and without them it would score those images again; --force deletes it "
                "all the same"
            )
    named = connection.execute(_namings(run_id)).all()
    return Deletion(run_id, row.status, row.images, [Naming(found.id, found.by) for found in named])


class _User(NamedTuple):
    run_id: int
    schedule: str


def _needed_by(connection: Connection, run_id: int) -> _User | None:
    """Return the newest run of an active schedule that needs scores of this run; None if there is none.

    It scores what no run of its model has scored, and is evaluated with the newest score of each image.
    """
    own = connection.execute(
        select(run.c.model_id, manifest.c.archive_id)
        .join(manifest, manifest.c.id == run.c.manifest_id)
        .where(run.c.id == run_id)
    ).one()
    newest = (
        select(func.max(run.c.id).label("id"))
        .join(manifest, manifest.c.id == run.c.manifest_id)
        .join(schedule, schedule.c.id == run.c.schedule_id)
        .where(
            run.c.only_new,
            run.c.model_id == own.model_id,
            run.c.id > run_id,
            run.c.status.not_in(GONE),
            manifest.c.archive_id == own.archive_id,
            schedule.c.removed_at.is_(None),
        )
        .group_by(run.c.schedule_id)
    )
    users = connection.execute(
        select(run.c.id, run.c.manifest_id, schedule.c.name)
        .join(schedule, schedule.c.id == run.c.schedule_id)
        .where(run.c.id.in_(newest))
        .order_by(run.c.id)
    ).all()
    for user in users:
        later, again = run.alias(), image_result.alias()
        scored_again = (
            select(again.c.image_id)
            .join(later, later.c.id == again.c.run_id)
            .where(
                later.c.model_id == own.model_id,
                later.c.id > run_id,
                later.c.status.not_in(GONE),
                again.c.image_id == image_result.c.image_id,
                again.c.status == ImageStatus.SCORED,
            )
        )
        needed = (
            select(image_result.c.image_id)
            .join(manifest_row, manifest_row.c.image_id == image_result.c.image_id)
            .where(
                image_result.c.run_id == run_id,
                image_result.c.status == ImageStatus.SCORED,
                manifest_row.c.manifest_id == user.manifest_id,
                ~scored_again.exists(),
            )
            .limit(1)
        )
        if connection.execute(needed).first() is not None:
            return _User(user.id, user.name)
    return None


def _namings(run_id: int) -> Select[tuple[int, str]]:
    """Select the evaluations of a run that something names, with what names them."""
    of_run = evaluation.c.run_id == run_id

    def naming(what: str, number: ColumnElement[int], on: ColumnElement[bool]) -> Select[tuple[int, str]]:
        by = literal(f"{what} ", Text) + cast(number, Text)
        return select(evaluation.c.id.label("id"), by.label("by")).join(number.table, on).where(of_run)

    compared = and_(
        or_(comparison.c.run_a == evaluation.c.run_id, comparison.c.run_b == evaluation.c.run_id),
        comparison.c.label_manifest_id == evaluation.c.label_manifest_id,
    )
    calibrated = run.alias()
    tested = and_(operating_result.c.chosen_on == evaluation.c.id, operating_result.c.run_id != run_id)
    applied = and_(
        calibrated.c.calibrated_by == evaluation.c.id,
        calibrated.c.id != run_id,
        calibrated.c.status.not_in(GONE),
    )
    named = union_all(
        naming("alert", alert.c.id, alert.c.evaluation_id == evaluation.c.id),
        naming("comparison", comparison.c.id, compared),
        naming("thresholds of run", operating_result.c.run_id, tested).distinct(),
        naming("calibration of run", calibrated.c.id, applied),
    ).subquery()
    return select(named.c.id, named.c.by).order_by(named.c.id, named.c.by)


def _delete_naming(connection: Connection, run_id: int) -> None:
    """Delete what names a run or one of its evaluations: comparisons, checks of drift, thresholds, alerts."""
    evaluations = select(evaluation.c.id).where(evaluation.c.run_id == run_id)
    comparisons = select(comparison.c.id).where(
        or_(comparison.c.run_a == run_id, comparison.c.run_b == run_id)
    )
    drifts = select(drift_check.c.id).where(
        or_(drift_check.c.run_id == run_id, drift_check.c.baseline_id == run_id)
    )
    for table, named in (
        (
            alert,
            or_(
                alert.c.evaluation_id.in_(evaluations),
                alert.c.comparison_id.in_(comparisons),
                alert.c.drift_id.in_(drifts),
            ),
        ),
        (operating_result, operating_result.c.chosen_on.in_(evaluations)),
        (comparison_result, comparison_result.c.comparison_id.in_(comparisons)),
        (comparison, comparison.c.id.in_(comparisons)),
        (drift_result, drift_result.c.drift_id.in_(drifts)),
        (drift_check, drift_check.c.id.in_(drifts)),
    ):
        connection.execute(delete(table).where(named))


def _delete_evaluations(connection: Connection, run_id: int, kept: list[int]) -> None:
    """Delete a run's evaluations but those that are kept, with their figures."""
    going = and_(evaluation.c.run_id == run_id, evaluation.c.id.not_in(kept))
    ids = select(evaluation.c.id).where(going)
    connection.execute(
        update(schedule_due).where(schedule_due.c.evaluation_id.in_(ids)).values(evaluation_id=None)
    )
    for table in OF_EVALUATION:
        connection.execute(delete(table).where(table.c.evaluation_id.in_(ids)))
    connection.execute(delete(evaluation).where(going))


# --- what a schedule keeps ---------------------------------------------------------------------------------


def mark_superfluous(database: Database, schedule_id: int, keep_last: int) -> list[int]:
    """Mark a schedule's runs that are older than its `keep_last` newest complete ones; returns which.

    What stands against deleting a run keeps it: it is asked for again the next time.
    """
    of_schedule = select(run.c.id, run.c.status).where(
        run.c.schedule_id == schedule_id, run.c.status.not_in(GONE)
    )
    with database.read() as connection:
        rows = connection.execute(of_schedule.order_by(run.c.id.desc())).all()
    complete = [row.id for row in rows if row.status == RunStatus.COMPLETE][:keep_last]
    if len(complete) < keep_last:
        return []
    deleted = []
    for row in rows:
        if row.id < complete[-1] and row.status.settled:
            try:
                mark(database, row.id)
            except RunInUseError:
                continue
            deleted.append(row.id)
    return deleted


# --- where the space goes ----------------------------------------------------------------------------------


class Space(NamedTuple):
    """Bytes of the database's files, and how many of them wait for new rows; None where it is not known."""

    total: int
    free: int | None


def space(database: Database) -> Space:
    """Return how large the database is; SQLite knows, too, how much of its file is free."""
    with database.read() as connection:
        if database.dialect == "postgresql":
            size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
            return Space(size, None)
        page, pages, free = (
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("page_size", "page_count", "freelist_count")
        )
        return Space(page * pages, page * free)


def share_of(database: Database, run_id: int) -> int:
    """Return about how many bytes a run's rows take on PostgreSQL: its share of the tables by its images."""
    sizes = [func.pg_total_relation_size(table.name) for table in (*OF_IMAGES, batch)]
    with database.read() as connection:
        total = sum(connection.execute(select(size)).scalar_one() for size in sizes)
        kept = run.c.status != RunStatus.DELETED
        images, own = connection.execute(
            select(func.sum(run.c.images), func.max(run.c.images).filter(run.c.id == run_id)).where(kept)
        ).one()
    return int(total * own / max(1, images)) if own else 0


def vacuum(database: Database) -> None:
    """Free deleted rows' space at once, as `Database.vacuum` does."""
    database.vacuum(table.name for table in (*OF_IMAGES, batch, manifest_row))
