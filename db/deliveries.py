"""The ledger of deliveries: what is due to a receiver, what it got, and what it refused."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from db.database import Database, SqlRow
from db.receipts import patiently, write_once
from db.schema.archives import finding, manifest_row
from db.schema.base import UtcDateTime
from db.schema.deliveries import delivery
from db.schema.runs import image_result, model_finding, run, score
from db.scored_images import ScoredImage, scored_images
from db.states import DeliveryState, ImageStatus

NOT_DICOM: Final = "not_dicom"
"""The status of what cannot be made of an image that is no DICOM file."""

NO_MASK: Final = "no_mask"
"""The status of what cannot be made of a case whose mask is not there."""

_AT_ONCE: Final = 256
"""Images whose deliveries are read at a time."""


class Object(NamedTuple):
    """What an object is of an image; `finding` is blank where it is of all."""

    kind: str
    finding: str


@dataclass(frozen=True, slots=True)
class Due:
    """An image and the objects of it that a receiver has still to get."""

    image: ScoredImage
    objects: frozenset[Object]


class Count(NamedTuple):
    """Deliveries of one run, receiver, kind and state, with one word of the receiver's, if it said any."""

    run_id: int
    target: str
    kind: str
    state: DeliveryState
    status: str | None
    objects: int


def plan(database: Database, run_id: int, target: str, kinds: Collection[str]) -> None:
    """Write down what a receiver is to get of a run's scored images; what is there already stays as it is.

    A report of each image, and a segmentation of each case; a presentation state of each image with a finding
    over its threshold; a capture of each such finding that has a map.
    """

    def write(connection: Connection) -> None:
        for kind in kinds:
            connection.execute(
                upsert(delivery)
                .from_select(
                    ["run_id", "image_id", "kind", "finding", "target", "created_at"],
                    _wanted(run_id, target, kind),
                )
                .on_conflict_do_nothing()
            )

    write_once(database, write)


def _wanted(run_id: int, target: str, kind: str) -> Select[tuple[object, ...]]:
    """Select the rows that are due of one kind."""
    scored = (image_result.c.run_id == run_id) & (image_result.c.status == ImageStatus.SCORED)
    flagged = (
        (score.c.run_id == image_result.c.run_id)
        & (score.c.image_id == image_result.c.image_id)
        & (model_finding.c.model_id == run.c.model_id)
        & (model_finding.c.finding_id == score.c.finding_id)
        & (score.c.probability >= model_finding.c.threshold)
    )
    now = literal(datetime.now(UTC), UtcDateTime)
    columns = (image_result.c.run_id, image_result.c.image_id, literal(kind))
    if kind == "dicom-sc":
        return (
            select(*columns, finding.c.name, literal(target), now)
            .join(run, run.c.id == image_result.c.run_id)
            .join(score, score.c.run_id == image_result.c.run_id)
            .join(model_finding, model_finding.c.model_id == run.c.model_id)
            .join(finding, finding.c.id == score.c.finding_id)
            .where(scored, flagged, image_result.c.maps.is_not(None))
        )
    query = select(*columns, literal(""), literal(target), now).where(scored)
    if kind == "dicom-gsps":
        some = (
            select(score.c.image_id)
            .join(run, run.c.id == score.c.run_id)
            .join(model_finding, model_finding.c.model_id == run.c.model_id)
            .where(flagged)
        )
        query = query.where(some.correlate(image_result).exists())
    return query


def reopen(database: Database, run_id: int, target: str) -> int:
    """Make what a receiver refused, and what could not be made, due again; returns how many."""

    def write(connection: Connection) -> int:
        return connection.execute(
            update(delivery)
            .where(
                delivery.c.run_id == run_id,
                delivery.c.target == target,
                delivery.c.state.in_((DeliveryState.REFUSED, DeliveryState.UNUSABLE)),
            )
            .values(state=DeliveryState.PENDING)
        ).rowcount

    return write_once(database, write)


def due(database: Database, run_id: int, target: str, kinds: Collection[str]) -> Iterator[Due]:
    """Yield the images of which a receiver has not got all, in the manifest's order; each is there once.

    A few hundred are read at a time, so that what happens to one may be recorded meanwhile.
    """
    last = 0
    while True:
        with database.read() as connection:
            found = _pending(connection, run_id, target, kinds, last)
        for image in scored_images(database, run_id, list(found)):
            yield Due(image, frozenset(found[image.image_id]))
            last = image.row
        if len(found) < _AT_ONCE:
            return


def _pending(
    connection: Connection, run_id: int, target: str, kinds: Collection[str], last: int
) -> dict[int, set[Object]]:
    wanted = (
        (delivery.c.run_id == run_id)
        & (delivery.c.target == target)
        & (delivery.c.state == DeliveryState.PENDING)
        & delivery.c.kind.in_(list(kinds))
    )
    images = (
        select(manifest_row.c.image_id)
        .join(run, run.c.manifest_id == manifest_row.c.manifest_id)
        .where(
            run.c.id == run_id,
            manifest_row.c.row_number > last,
            select(delivery.c.id).where(wanted, delivery.c.image_id == manifest_row.c.image_id).exists(),
        )
        .order_by(manifest_row.c.row_number)
        .limit(_AT_ONCE)
    )
    ids: Sequence[int] = connection.execute(images).scalars().all()
    rows = connection.execute(
        select(delivery.c.image_id, delivery.c.kind, delivery.c.finding).where(
            wanted, delivery.c.image_id.in_(ids)
        )
    )
    found: dict[int, set[Object]] = {image_id: set() for image_id in ids}
    for image_id, kind, of in rows:
        found[image_id].add(Object(kind, of))
    return found


def record(
    database: Database,
    run_id: int,
    target: str,
    image_id: int,
    objects: Collection[Object],
    *,
    state: DeliveryState,
    status: str,
    sop_instance_uid: str | None = None,
) -> None:
    """Write down what came of an attempt; `state` PENDING where it is made again. Waits for the database.

    Written twice, it is the same but for the number of attempts.
    """
    now = datetime.now(UTC)
    of: list[ColumnElement[bool]] = [
        (delivery.c.kind == wanted.kind) & (delivery.c.finding == wanted.finding) for wanted in objects
    ]

    def write() -> None:
        with database.write() as connection:
            for one in of:
                connection.execute(
                    update(delivery)
                    .where(
                        delivery.c.run_id == run_id,
                        delivery.c.target == target,
                        delivery.c.image_id == image_id,
                        one,
                        delivery.c.state == DeliveryState.PENDING,
                    )
                    .values(
                        state=state,
                        status=status,
                        sop_instance_uid=func.coalesce(sop_instance_uid, delivery.c.sop_instance_uid),
                        attempts=delivery.c.attempts + 1,
                        tried_at=now,
                        sent_at=now if state == DeliveryState.SENT else None,
                    )
                )

    patiently(write)


def counts(database: Database, run_id: int | None = None, target: str | None = None) -> list[Count]:
    """Count deliveries of a run, or of all, by receiver, kind, state and what was said of them."""
    columns = (delivery.c.run_id, delivery.c.target, delivery.c.kind, delivery.c.state, delivery.c.status)
    query = select(*columns, func.count()).group_by(*columns).order_by(*columns)
    if run_id is not None:
        query = query.where(delivery.c.run_id == run_id)
    if target is not None:
        query = query.where(delivery.c.target == target)
    with database.read() as connection:
        rows: Sequence[SqlRow] = connection.execute(query).all()
    return [Count(*row) for row in rows]


def all_pictures(database: Database, run_id: int, target: str) -> bool:
    """Return whether there is something to send, and none of it can be made, as no image is a DICOM file."""
    found = counts(database, run_id, target)
    return bool(found) and all(count.status == NOT_DICOM for count in found)
