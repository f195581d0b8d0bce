"""Create runs with their batches, and change a run's status at its owner's command."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple, Self

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from config.cards.classification import ClassificationCard
from config.cards.member import Member
from config.cards.model import Card
from db.database import Database, bulk_insert
from db.errors import UnknownRunError
from db.manifests import find_or_write_findings
from db.receipts import write_once
from db.schema.archives import manifest, manifest_row
from db.schema.runs import batch, image_result, model, model_finding, model_member, run
from db.states import BatchState, ImageStatus, RunStatus

_SMALLEST_BATCH: Final = 8
"""A network on a CPU scores 8 images in one call; fewer are padded, and take as long."""

_LARGEST_BATCH: Final = 32

_BATCHES: Final = 16
"""Batches that a run has before they grow."""


def usual_batch_size(images: int) -> int:
    """Return the size of a run's batches where nobody asks for one: 8, 16, 24 or 32 images.

    Small batches occupy every worker with a small run, and show its progress; large ones cost less.
    """
    calls = images // (_BATCHES * _SMALLEST_BATCH)
    return max(_SMALLEST_BATCH, min(_LARGEST_BATCH, calls * _SMALLEST_BATCH))


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The part of the model card that a run's rows keep; `batch_size`: of its runs, where nobody asks."""

    name: str
    sha256: str
    card_json: str
    card_sha256: str
    findings: Sequence[str]
    thresholds: Sequence[float]
    batch_size: int | None = None
    members: Sequence[Member] = ()

    @classmethod
    def of(cls, card: Card) -> Self:
        """Return the part of a card that is kept."""
        return cls(
            name=card.name,
            sha256=card.sha256,
            card_json=card.model_dump_json(),
            card_sha256=card.fingerprint,
            findings=card.findings,
            thresholds=card.thresholds,
            batch_size=card.batch_size,
            members=(card.members or ()) if isinstance(card, ClassificationCard) else (),
        )


class RowRange(NamedTuple):
    """Rows of a manifest by their numbers, `last` included."""

    first: int
    last: int

    def parts(self, size: int) -> Iterator[Self]:
        """Cut the range into parts of so many rows; the last may be smaller."""
        for first in range(self.first, self.last + 1, size):
            yield self._replace(first=first, last=min(first + size - 1, self.last))


def ranges_of(numbers: Iterable[int]) -> list[RowRange]:
    """Return rising row numbers as the fewest ranges."""
    ranges: list[RowRange] = []
    for number in numbers:
        if ranges and number == ranges[-1].last + 1:
            ranges[-1] = RowRange(ranges[-1].first, number)
        else:
            ranges.append(RowRange(number, number))
    return ranges


def find_or_write_model(connection: Connection, facts: ModelFacts) -> int:
    """Return the id of the model with this very card, writing it if it is new."""
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
    ids = find_or_write_findings(connection, facts.findings)
    connection.execute(
        insert(model_finding),
        [
            {"model_id": added, "finding_id": ids[name], "position": position, "threshold": threshold}
            for position, (name, threshold) in enumerate(zip(facts.findings, facts.thresholds, strict=True))
        ],
    )
    if facts.members:
        connection.execute(
            insert(model_member),
            [
                {
                    "model_id": added,
                    "position": position,
                    "name": member.name,
                    "sha256": member.sha256,
                    "card_sha256": member.card_sha256,
                }
                for position, member in enumerate(facts.members)
            ],
        )
    return int(added)


def create_run(
    connection: Connection,
    *,
    manifest_id: int,
    model_id: int,
    heatmaps: str,
    batch_size: int | None = None,
    version: str,
    bits: int | None = None,
    rows: Sequence[RowRange] | None = None,
    only_new: bool = False,
    schedule_id: int | None = None,
) -> int:
    """Write a run and its batches; the caller's commit makes them real.

    It covers all rows of the manifest, or those of `rows`. `batch_size`: `usual_batch_size` where it is None.
    `bits`: used in its 16-bit pictures. `only_new`: earlier runs of the same model have scored the others,
    and an evaluation takes those scores from them.
    """
    if rows is None:
        rows = [RowRange(1, _row_count(connection, manifest_id))]
    images = sum(row_range.last - row_range.first + 1 for row_range in rows)
    size = batch_size or usual_batch_size(images)
    batches = [part for row_range in rows for part in row_range.parts(size)]
    run_id: int = connection.execute(
        insert(run)
        .values(
            manifest_id=manifest_id,
            model_id=model_id,
            status=RunStatus.RUNNING,
            images=images,
            batches=len(batches),
            heatmaps=heatmaps,
            version=version,
            bits=bits,
            created_at=datetime.now(UTC),
            only_new=only_new,
            schedule_id=schedule_id,
        )
        .returning(run.c.id)
    ).scalar_one()
    write_batches(connection, run_id, batches)
    return run_id


def write_batches(connection: Connection, run_id: int, batches: Sequence[RowRange], first: int = 1) -> None:
    """Write a run's batches over these rows, numbered from `first`."""
    bulk_insert(
        connection,
        batch,
        ("run_id", "number", "first_row", "last_row"),
        ((run_id, number, *ends) for number, ends in enumerate(batches, start=first)),
    )


def _row_count(connection: Connection, manifest_id: int) -> int:
    count: int = connection.execute(select(manifest.c.rows).where(manifest.c.id == manifest_id)).scalar_one()
    return count


def unscored_rows(connection: Connection, manifest_id: int, model_id: int) -> list[RowRange]:
    """Return the rows of a manifest whose image no run of this very model has scored, as ranges, rising.

    An image that failed is among them: its file may have been repaired since.
    """
    scored = (
        select(image_result.c.image_id)
        .distinct()
        .join(run, run.c.id == image_result.c.run_id)
        .where(
            run.c.model_id == model_id,
            run.c.status != RunStatus.DELETING,
            image_result.c.status == ImageStatus.SCORED,
        )
        .subquery()
    )
    # An outer join and not NOT IN, for which PostgreSQL would compare every row with every other where its
    # memory cannot hold the list.
    numbers = connection.execute(
        select(manifest_row.c.row_number)
        .outerjoin(scored, scored.c.image_id == manifest_row.c.image_id)
        .where(manifest_row.c.manifest_id == manifest_id, scored.c.image_id.is_(None))
        .order_by(manifest_row.c.row_number)
    ).scalars()
    return ranges_of(numbers)


class CompleteRun(NamedTuple):
    """A run that is complete and its manifest, by their ids."""

    run_id: int
    manifest_id: int


def find_complete_run(connection: Connection, wanted: int | Literal["latest"]) -> CompleteRun:
    """Return the complete run with this id, or the newest; UnknownRunError where there is none."""
    complete = select(run.c.id, run.c.manifest_id).where(run.c.status == RunStatus.COMPLETE)
    if wanted == "latest":
        row = connection.execute(complete.order_by(run.c.id.desc()).limit(1)).first()
        problem = "no run is complete yet"
    else:
        row = connection.execute(complete.where(run.c.id == wanted)).first()
        problem = f"there is no complete run {wanted}"
    if row is None:
        raise UnknownRunError(f"{problem}; see: nightread status")
    return CompleteRun(*row)


def cancel(database: Database, run_id: int) -> bool:
    """Stop work on a run; batches under way still end. False if it was not running."""

    def stop(connection: Connection) -> bool:
        _require(connection, run_id)
        changed = connection.execute(
            update(run)
            .where(run.c.id == run_id, run.c.status == RunStatus.RUNNING)
            .values(status=RunStatus.CANCELLED)
        )
        # Their messages are refused from now on; as queued ones they would take up places in the window.
        connection.execute(
            update(batch)
            .where(batch.c.run_id == run_id, batch.c.state == BatchState.QUEUED)
            .values(state=BatchState.PENDING)
        )
        return changed.rowcount == 1

    return write_once(database, stop)


def resume(database: Database, run_id: int) -> bool:
    """Continue a cancelled run; True if it has work left or an evaluation to come."""

    def go_on(connection: Connection) -> bool:
        _require(connection, run_id)
        connection.execute(
            update(run)
            .where(run.c.id == run_id, run.c.status == RunStatus.CANCELLED)
            .values(status=RunStatus.RUNNING)
        )
        status: RunStatus = connection.execute(select(run.c.status).where(run.c.id == run_id)).scalar_one()
        return not status.settled

    return write_once(database, go_on)


def _require(connection: Connection, run_id: int) -> None:
    if connection.execute(select(run.c.id).where(run.c.id == run_id)).first() is None:
        raise UnknownRunError(f"there is no run {run_id}; see: nightread status")
