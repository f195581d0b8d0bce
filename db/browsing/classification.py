"""The images of a run of findings, by their scores and labels.

The view `worklist` orders all images of a run by percentiles, which takes 31 s at 112,120 images; a page does
without.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from sqlalchemy import REAL, ColumnElement, and_, cast, func, literal, literal_column, not_, select

from db.answers import Rows
from db.browsing.pages import Key, Place, RunOfManifest, Walk, outcomes, page, run_row
from db.database import Connection, Record
from db.schema.archives import finding, image, manifest_finding, manifest_row
from db.schema.runs import image_result, model_finding, score

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
class Subject(RunOfManifest):
    """What is looked at: a run, its manifest, and its model's findings in the model's order."""

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


def subject(connection: Connection, run_id: int) -> Subject:
    """Return what there is to look at of a run; UnknownRunError if there is no such run."""
    row = run_row(connection, run_id)
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

    With a finding the highest probability comes first (probability, image); failed images come by their
    number (image,), others in the order of the manifest (row,).
    """
    failed = wanted.failure not in {None, "none"}
    if failed and wanted.at_least is not None:
        return []  # a failed image has no score
    if failed:
        return page(connection, _failed(of, wanted), after, most, back=back)
    if wanted.finding is not None:
        return page(connection, _scored(of, wanted.finding, wanted), after, most, back=back)
    walk = _in_manifest(of, wanted)
    if wanted.at_least is None:
        return page(connection, walk, after, most, back=back)
    # Where many images have such a score, the nearest rows fill a page. Where few have, they are found first.
    high = select(score.c.image_id).where(
        score.c.run_id == of.run_id, score.c.probability >= cast(literal(wanted.at_least), REAL)
    )
    row = manifest_row.c.row_number
    begin = after[0] if after is not None else math.inf if back else 0
    nearest = row >= begin - _NEAR if back else row <= begin + _NEAR
    asked = high.where(score.c.image_id == manifest_row.c.image_id).exists()
    found = page(connection, walk.where(nearest, asked), after, most, back=back)
    if len(found) == most:
        return found
    # Once, before any row is looked at: PostgreSQL without statistics, as while a run is written, would read
    # all scores again for each row.
    few = high.distinct().cte("few").prefix_with("MATERIALIZED")
    walk = walk.where(manifest_row.c.image_id.in_(select(few.c.image_id)))
    return page(connection, walk, after, most, back=back)


def _scored(of: Subject, by: Finding, wanted: Wanted) -> Walk:
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
    return Walk(query, (probability, manifest_row.c.image_id), falling=True)


def _failed(of: Subject, wanted: Wanted) -> Walk:
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
    return Walk(query, (image_result.c.image_id,))


def _in_manifest(of: Subject, wanted: Wanted) -> Walk:
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
    return Walk(query, (rows.row_number,))


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
    rows = outcomes(
        *(connection, of, image_ids),
        *(manifest_row.c[name] for name in ("view_position", "labels")),
        *(image_result.c[name] for name in ("flag", "width", "height")),
    )
    for row in rows.values():
        row |= {"scores": {}, "spreads": {}}
    scored = select(score.c.image_id, score.c.finding_id, score.c.probability, score.c.spread).where(
        score.c.run_id == of.run_id, score.c.image_id.in_(image_ids)
    )
    for image_id, finding_id, probability, spread in connection.execute(scored):
        if image_id in rows:
            rows[image_id]["scores"][finding_id] = probability
            rows[image_id]["spreads"][finding_id] = spread
    return list(rows.values())


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
