"""A run's images, one page at a time, whatever the run's size.

The view `worklist` orders all images of a run by percentiles, which takes 31 s at 112,120 images. Here a page
begins behind the last row of the page before (its `Key`), and only its own images are described.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from sqlalchemy import (
    REAL,
    ColumnElement,
    Select,
    and_,
    cast,
    func,
    literal,
    literal_column,
    not_,
    select,
    tuple_,
)

from db.answers import Rows
from db.database import Connection, Record, SqlRow
from db.schema.archives import finding, image, manifest_finding, manifest_row
from db.schema.runs import image_result, model_finding, run, score

Key = tuple[float, ...]
"""Where a row stands in its list's order: (row,), (image,), or (probability, image)."""

Labels = Literal["1", "0", "-"]
"""Characters of `manifest_row.labels`: present, absent, unknown."""

_FAILED: Final = literal_column("image_result.status") == literal_column("'failed'")
"""Not by a parameter, which would hide from SQLite that the partial index fits."""


_NOT_SCORED: Final = -1.0

_NEAR: Final = 4_000
"""Rows of a manifest whose scores are asked for one by one in a twentieth of a second."""


class Finding(NamedTuple):
    """A finding of a run's model; `position`: of its character in a row's labels, None without labels."""

    id: int
    name: str
    threshold: float
    position: int | None


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at: a run, its manifest, and its model's findings in the model's order."""

    run_id: int
    manifest_id: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which images are wanted.

    `at_least`: a probability, of `finding` or, without one, of any. `label`: of `finding`; without one, "1"
    is any finding labelled present, "0" none of them, "-" no label at all. `failure`: "none", "any" or one
    of `Reason`.
    """

    finding: Finding | None = None
    at_least: float | None = None
    label: Labels | None = None
    failure: str | None = None


class Place(NamedTuple):
    """An image, and where it stands in the list."""

    key: Key
    image_id: int


def subject(connection: Connection, run_id: int) -> Subject | None:
    """Return what there is to look at of a run; None if there is no such run."""
    row = connection.execute(select(run.c.manifest_id, run.c.model_id).where(run.c.id == run_id)).first()
    if row is None:
        return None
    labelled = and_(
        manifest_finding.c.finding_id == finding.c.id, manifest_finding.c.manifest_id == row.manifest_id
    )
    findings = connection.execute(
        select(finding.c.id, finding.c.name, model_finding.c.threshold, manifest_finding.c.position)
        .join(model_finding, model_finding.c.finding_id == finding.c.id)
        .outerjoin(manifest_finding, labelled)
        .where(model_finding.c.model_id == row.model_id)
        .order_by(model_finding.c.position)
    )
    return Subject(run_id, row.manifest_id, tuple(Finding(*found) for found in findings))


def places(
    connection: Connection, of: Subject, wanted: Wanted, after: Key | None, most: int, *, back: bool = False
) -> list[Place]:
    """Return the places of at most `most` images behind `after`, or before it, nearest first.

    With a finding the highest probability comes first; failed images come by their number, others in the
    order of the manifest.
    """
    failed = wanted.failure not in {None, "none"}
    if failed and wanted.at_least is not None:
        return []  # a failed image has no score
    if failed:
        return _page(connection, _failed(of, wanted), after, most, back=back)
    if wanted.finding is not None:
        return _page(connection, _scored(of, wanted.finding, wanted), after, most, back=back)
    walk = _in_manifest(of, wanted)
    if wanted.at_least is None:
        return _page(connection, walk, after, most, back=back)
    # Where many images have such a score, the nearest rows fill a page. Where few have, they are found first.
    high = select(score.c.image_id).where(
        score.c.run_id == of.run_id, score.c.probability >= cast(literal(wanted.at_least), REAL)
    )
    row = manifest_row.c.row_number
    begin = after[0] if after is not None else math.inf if back else 0
    nearest = row >= begin - _NEAR if back else row <= begin + _NEAR
    asked = high.where(score.c.image_id == manifest_row.c.image_id).exists()
    found = _page(connection, walk.where(nearest, asked), after, most, back=back)
    if len(found) == most:
        return found
    # Once, before any row is looked at: PostgreSQL without statistics, as while a run is written, would read
    # all scores again for each row.
    few = high.distinct().cte("few").prefix_with("MATERIALIZED")
    walk = walk.where(manifest_row.c.image_id.in_(select(few.c.image_id)))
    return _page(connection, walk, after, most, back=back)


@dataclass(frozen=True, slots=True)
class _Walk:
    """A query of keys and image, in the order of its keys."""

    query: Select[tuple[float, ...]]
    keys: Sequence[ColumnElement[float]]
    falling: bool = False

    def where(self, *conditions: ColumnElement[bool]) -> "_Walk":
        return replace(self, query=self.query.where(*conditions))


def _page(connection: Connection, walk: _Walk, after: Key | None, most: int, *, back: bool) -> list[Place]:
    query, keys, down = walk.query, walk.keys, walk.falling != back
    if after is not None:
        here = tuple_(*(cast(literal(value), key.type) for key, value in zip(keys, after, strict=True)))
        query = query.where(tuple_(*keys) < here if down else tuple_(*keys) > here)
    query = query.order_by(*(key.desc() if down else key.asc() for key in keys)).limit(most)
    found: Sequence[SqlRow] = connection.execute(query).all()
    return [Place(tuple(row[:-1]), row[-1]) for row in found]


def _scored(of: Subject, by: Finding, wanted: Wanted) -> _Walk:
    # From the manifest's rows, whose labels are asked first, to one score of each: an outer join keeps SQLite
    # to this order. An index by probability would be faster, but workers would write at a sixth of the rate.
    probability = func.coalesce(score.c.probability, cast(literal(_NOT_SCORED), REAL), type_=REAL)
    of_finding = and_(
        score.c.run_id == of.run_id,
        score.c.image_id == manifest_row.c.image_id,
        score.c.finding_id == by.id,
    )
    query = (
        select(probability, manifest_row.c.image_id, manifest_row.c.image_id.label("found"))
        .select_from(manifest_row.outerjoin(score, of_finding))
        .where(
            manifest_row.c.manifest_id == of.manifest_id,
            *_has_label(wanted),
            probability >= cast(literal(wanted.at_least or 0.0), REAL),
        )
    )
    return _Walk(query, (probability, manifest_row.c.image_id), falling=True)


def _failed(of: Subject, wanted: Wanted) -> _Walk:
    query = select(image_result.c.image_id, image_result.c.image_id.label("found")).where(
        image_result.c.run_id == of.run_id, _FAILED
    )
    if wanted.failure != "any":
        query = query.where(image_result.c.reason == wanted.failure)
    if wanted.label is not None:
        row = select(manifest_row.c.row_number).where(
            manifest_row.c.manifest_id == of.manifest_id,
            manifest_row.c.image_id == image_result.c.image_id,
            *_has_label(wanted),
        )
        query = query.where(row.exists())
    return _Walk(query, (image_result.c.image_id,))


def _in_manifest(of: Subject, wanted: Wanted) -> _Walk:
    rows = manifest_row.c
    query = select(rows.row_number, rows.image_id).where(
        rows.manifest_id == of.manifest_id, *_has_label(wanted)
    )
    result = select(image_result.c.run_id).where(
        image_result.c.run_id == of.run_id, image_result.c.image_id == rows.image_id
    )
    query = query.where(result.exists())
    if wanted.failure == "none":
        query = query.where(not_(result.where(_FAILED).exists()))
    return _Walk(query, (rows.row_number,))


def _has_label(wanted: Wanted) -> list[ColumnElement[bool]]:
    labels = manifest_row.c.labels
    if wanted.label is None:
        return []
    if wanted.finding is not None:
        if wanted.finding.position is None:
            return [literal(wanted.label == "-")]
        return [func.substr(labels, wanted.finding.position + 1, 1) == wanted.label]
    if wanted.label == "1":
        return [labels.like("%1%")]
    return [not_(labels.like("%1%")), labels.like("%0%") if wanted.label == "0" else not_(labels.like("%0%"))]


# --- what is shown of them ---------------------------------------------------------------------------------


def described(connection: Connection, of: Subject, image_ids: Sequence[int]) -> Rows:
    """Return what is known of these images of a run, in this order, without maps; others are left out.

    `scores`: finding's id -> probability. `spreads`: the same -> that of an ensemble's members, or None.
    """
    asked = select(
        *(image.c.id, image.c.image_index),
        *(
            manifest_row.c[name]
            for name in ("row_number", "patient_id", "view_position", "sex", "age_years", "labels")
        ),
        *(
            image_result.c[name]
            for name in ("status", "stage", "reason", "message", "flag", "width", "height")
        ),
    ).select_from(
        image.join(
            manifest_row,
            and_(manifest_row.c.image_id == image.c.id, manifest_row.c.manifest_id == of.manifest_id),
        ).join(
            image_result,
            and_(image_result.c.image_id == image.c.id, image_result.c.run_id == of.run_id),
        )
    )
    rows: dict[int, Record] = {
        row["id"]: {**row, "scores": {}, "spreads": {}}
        for row in connection.execute(asked.where(image.c.id.in_(image_ids))).mappings()
    }
    scored = select(score.c.image_id, score.c.finding_id, score.c.probability, score.c.spread).where(
        score.c.run_id == of.run_id, score.c.image_id.in_(image_ids)
    )
    for image_id, finding_id, probability, spread in connection.execute(scored):
        if image_id in rows:
            rows[image_id]["scores"][finding_id] = probability
            rows[image_id]["spreads"][finding_id] = spread
    return [rows[number] for number in image_ids if number in rows]


def maps_of(connection: Connection, of: Subject, image_id: int) -> Record | None:
    """Return an image's stored maps (float16 bytes of map_height, map_width, findings) and its size."""
    names = ("maps", "map_height", "map_width", "width", "height")
    row = connection.execute(
        select(*(image_result.c[name] for name in names)).where(
            image_result.c.run_id == of.run_id, image_result.c.image_id == image_id
        )
    ).mappings()
    found = row.first()
    return None if found is None or found["maps"] is None else dict(found)


def name_of(connection: Connection, of: Subject, image_id: int) -> str | None:
    """Return the name of an image of a run's manifest; None if it is no image of it."""
    name: str | None = connection.execute(
        select(image.c.image_index)
        .join(manifest_row, manifest_row.c.image_id == image.c.id)
        .where(image.c.id == image_id, manifest_row.c.manifest_id == of.manifest_id)
    ).scalar_one_or_none()
    return name
