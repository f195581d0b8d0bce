"""The cases of a run of volumes, by how large their segments are and how well they agree with labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from sqlalchemy import ColumnElement, Double, FromClause, Subquery, Table, and_, cast, func, literal, select

from db.answers import Rows
from db.browsing.pages import Key, Place, RunOfManifest, Walk, outcomes, page, run_row
from db.database import Connection
from db.schema.archives import finding, manifest_row
from db.schema.runs import image_result, model_finding, run
from db.schema.segmentations import segment, volume_result
from db.states import ImageStatus

Order = Literal["dice", "ml"]
"""The lowest Dice first, or the largest segment."""

_NO_DICE: Final = 2.0
_NO_SEGMENT: Final = -1.0
"""Beyond what a case with one can have, so that those without one come last."""


class Segmented(NamedTuple):
    """A class or region of a run's model."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Subject(RunOfManifest):
    """What is looked at: a run, its manifest, and its model's classes and regions in the model's order."""

    findings: tuple[Segmented, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which cases are wanted, and in what order: that of the manifest, or by `order`.

    `order`, `least_ml` and `dice_below` are of `finding`; without one, of the case's lowest Dice and its
    largest segment. `labelled`: whether a segmented case has a label. `failure`: "none", "any" or one of
    `Reason`.
    """

    finding: Segmented | None = None
    order: Order | None = None
    least_ml: float | None = None
    dice_below: float | None = None
    labelled: bool | None = None
    failure: str | None = None


def subject(connection: Connection, run_id: int) -> Subject:
    """Return what there is to look at of a run; UnknownRunError if there is no such run."""
    row = run_row(connection, run_id)
    findings = connection.execute(
        select(finding.c.id, finding.c.name)
        .join(model_finding, model_finding.c.finding_id == finding.c.id)
        .where(model_finding.c.model_id == row.model_id)
        .order_by(model_finding.c.position)
    )
    return Subject(run_id, row.manifest_id, tuple(Segmented(*found) for found in findings))


def places(
    connection: Connection, of: Subject, wanted: Wanted, after: Key | None, most: int, *, back: bool = False
) -> list[Place]:
    """Return the places of at most `most` cases behind `after`, or before it, nearest first.

    By Dice (Dice, row), by size (-ml, row), else in the order of the manifest (row,). Cases without the
    figure that orders them come last.
    """
    return page(connection, _walk(of, wanted), after, most, back=back)


def key_of(connection: Connection, of: Subject, wanted: Wanted, image_id: int) -> Key | None:
    """Return where a case stands in a list; None where it is not in it."""
    walk = _walk(of, wanted).where(manifest_row.c.image_id == image_id)
    found = page(connection, walk, None, 1, back=False)
    return found[0].key if found else None


def pending(connection: Connection, of: Subject) -> int:
    """Count a run's cases that have no outcome yet."""
    ended = select(func.count()).where(image_result.c.run_id == of.run_id).scalar_subquery()
    count: int = connection.execute(select(run.c.images - ended).where(run.c.id == of.run_id)).scalar_one()
    return count


def _walk(of: Subject, wanted: Wanted) -> Walk:
    rows = manifest_row.c
    figures = _figures(of, wanted.finding)
    keys: tuple[ColumnElement[float], ...] = (rows.row_number,)
    if wanted.order == "dice":
        keys = (func.coalesce(figures.c.dice, cast(literal(_NO_DICE), Double), type_=Double), *keys)
    elif wanted.order == "ml":
        keys = (-func.coalesce(figures.c.ml, cast(literal(_NO_SEGMENT), Double), type_=Double), *keys)
    ended = and_(image_result.c.image_id == rows.image_id, image_result.c.run_id == of.run_id)
    cases: FromClause = manifest_row.join(image_result, ended)
    if (wanted.order, wanted.least_ml, wanted.dice_below) != (None, None, None):
        cases = cases.outerjoin(figures, figures.c.image_id == rows.image_id)
    conditions = [rows.manifest_id == of.manifest_id]
    if wanted.least_ml is not None:
        conditions.append(figures.c.ml >= cast(literal(wanted.least_ml), Double))
    if wanted.dice_below is not None:
        conditions.append(figures.c.dice < cast(literal(wanted.dice_below), Double))
    if wanted.labelled is not None:
        volume = select(volume_result.c.run_id).where(
            volume_result.c.run_id == of.run_id,
            volume_result.c.image_id == rows.image_id,
            volume_result.c.labelled == wanted.labelled,
        )
        conditions.append(volume.exists())
    if wanted.failure in {"none", "any"}:
        status = ImageStatus.SCORED if wanted.failure == "none" else ImageStatus.FAILED
        conditions.append(image_result.c.status == status)
    elif wanted.failure is not None:
        conditions.append(image_result.c.reason == wanted.failure)
    query = select(*keys).add_columns(rows.image_id.label("found"))
    return Walk(query.select_from(cases).where(*conditions), keys)


def _figures(of: Subject, of_finding: Segmented | None) -> Subquery:
    """Ask for each case's Dice and ml of a class or region, or for its lowest Dice and largest segment."""
    lowest, largest = func.min(segment.c.dice), func.max(segment.c.ml)
    query = select(segment.c.image_id, lowest.label("dice"), largest.label("ml")).where(
        segment.c.run_id == of.run_id
    )
    if of_finding is not None:
        query = query.where(segment.c.finding_id == of_finding.id)
    return query.group_by(segment.c.image_id).subquery("figures")


# --- what is shown of them ---------------------------------------------------------------------------------


def described(connection: Connection, of: Subject, image_ids: Sequence[int]) -> Rows:
    """Return what is known of these cases of a run, in this order; others are left out.

    `volume`: the row of a segmented case, None of a failed one. `segments`: finding's id -> its row.
    """
    rows = outcomes(connection, of, image_ids, manifest_row.c.files)
    for row in rows.values():
        row |= {"volume": None, "segments": {}}

    def written(table: Table) -> Rows:
        of_cases = and_(table.c.run_id == of.run_id, table.c.image_id.in_(list(rows)))
        return [dict(row) for row in connection.execute(select(table).where(of_cases)).mappings()]

    for found in written(volume_result):
        rows[found["image_id"]]["volume"] = found
    for found in written(segment):
        rows[found["image_id"]]["segments"][found["finding_id"]] = found
    return list(rows.values())


def path_of(
    connection: Connection, of: Subject, image_id: int, what: Literal["mask_path", "planes_path"]
) -> str | None:
    """Return the path of a case's file below the outputs' folder; None where none was written."""
    path: str | None = connection.execute(
        select(volume_result.c[what]).where(
            volume_result.c.run_id == of.run_id, volume_result.c.image_id == image_id
        )
    ).scalar_one_or_none()
    return path
