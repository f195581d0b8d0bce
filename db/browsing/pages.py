"""Pages of a run's images: each begins behind the last row of the one before, and describes only its own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, and_, cast, literal, select, tuple_

from db.database import Connection, Record, SqlRow
from db.errors import UnknownRunError
from db.schema.archives import image, manifest_row
from db.schema.runs import image_result, run

Key = tuple[float, ...]
"""Where a row stands in its list's order."""


class Place(NamedTuple):
    """An image, and where it stands in the list."""

    key: Key
    image_id: int


@dataclass(frozen=True, slots=True)
class RunOfManifest:
    """A run and the manifest that it is of."""

    run_id: int
    manifest_id: int


class RunRow(NamedTuple):
    """The numbers of a run's manifest and model."""

    manifest_id: int
    model_id: int


def run_row(connection: Connection, run_id: int) -> RunRow:
    """Return what a run is of; UnknownRunError if there is no such run."""
    row = connection.execute(select(run.c.manifest_id, run.c.model_id).where(run.c.id == run_id)).first()
    if row is None:
        raise UnknownRunError(f"there is no run {run_id}; see: nightread status")
    return RunRow(*row)


@dataclass(frozen=True, slots=True)
class Walk:
    """A query of keys and image, in the order of its keys."""

    query: Select[tuple[float, ...]]
    keys: Sequence[ColumnElement[float]]
    falling: bool = False

    def where(self, *conditions: ColumnElement[bool]) -> "Walk":
        """Return the walk over those of its rows that meet the conditions, too."""
        return replace(self, query=self.query.where(*conditions))


def page(connection: Connection, walk: Walk, after: Key | None, most: int, *, back: bool) -> list[Place]:
    """Return the places of at most `most` images behind `after`, or before it, nearest first."""
    query, keys, down = walk.query, walk.keys, walk.falling != back
    if after is not None:
        here = tuple_(*(cast(literal(value), key.type) for key, value in zip(keys, after, strict=True)))
        query = query.where(tuple_(*keys) < here if down else tuple_(*keys) > here)
    query = query.order_by(*(key.desc() if down else key.asc() for key in keys)).limit(most)
    found: Sequence[SqlRow] = connection.execute(query).all()
    return [Place(tuple(row[:-1]), row[-1]) for row in found]


def outcomes(
    connection: Connection, of: RunOfManifest, image_ids: Sequence[int], *more: ColumnElement[object]
) -> dict[int, Record]:
    """Return what is known of these images of a run by their ids, in this order; others are left out.

    `more`: further columns of the manifest's rows and of the outcomes.
    """
    asked = select(
        *(image.c.id, image.c.image_index),
        *(manifest_row.c[name] for name in ("row_number", "patient_id", "sex", "age_years")),
        *(image_result.c[name] for name in ("status", "stage", "reason", "message")),
        *more,
    ).select_from(
        image.join(
            manifest_row,
            and_(manifest_row.c.image_id == image.c.id, manifest_row.c.manifest_id == of.manifest_id),
        ).join(
            image_result,
            and_(image_result.c.image_id == image.c.id, image_result.c.run_id == of.run_id),
        )
    )
    rows = {
        row["id"]: dict(row) for row in connection.execute(asked.where(image.c.id.in_(image_ids))).mappings()
    }
    return {number: rows[number] for number in image_ids if number in rows}
