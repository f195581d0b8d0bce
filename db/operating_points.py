"""Operating points that one set of images chose, and what they bring on another."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, func, insert, intersect, select, text

from db.database import Record, SqlRow
from db.errors import UnknownRunError
from db.schema.archives import image, manifest_row
from db.schema.evaluations import evaluation, fixed_result, operating_result, threshold_result
from db.schema.runs import run
from db.states import EvaluationState


@dataclass(frozen=True, slots=True)
class ChosenPoints:
    """The thresholds that an evaluation chose on its labels: `by_finding` holds kind and threshold."""

    evaluation_id: int
    label_manifest_id: int
    model_id: int
    by_finding: dict[int, list[tuple[str, float]]]


def chosen_points(connection: Connection, run_id: int) -> ChosenPoints:
    """Read what the newest evaluation of a run by its own labels chose; UnknownRunError if there is none."""
    newest = connection.execute(
        select(evaluation.c.id, evaluation.c.label_manifest_id, run.c.model_id)
        .join(run, run.c.id == evaluation.c.run_id)
        .where(
            run.c.id == run_id,
            evaluation.c.label_manifest_id == run.c.manifest_id,
            evaluation.c.state == EvaluationState.DONE,
        )
        .order_by(evaluation.c.id.desc())
        .limit(1)
    ).first()
    if newest is None:
        raise UnknownRunError(
            f"run {run_id} has no finished evaluation by its own labels; see: nightread status, and: "
            f"nightread evaluate {run_id}"
        )
    points: dict[int, list[tuple[str, float]]] = {}
    chosen = select(
        threshold_result.c.finding_id, threshold_result.c.kind, threshold_result.c.threshold
    ).where(
        threshold_result.c.evaluation_id == newest.id,
        threshold_result.c.subgroup == "all",
        threshold_result.c.kind.in_(("youden", "sensitivity")),
    )
    fixed = select(fixed_result.c.finding_id, fixed_result.c.fixed, fixed_result.c.threshold).where(
        fixed_result.c.evaluation_id == newest.id
    )
    for finding_id, kind, threshold in [*connection.execute(chosen)]:
        points.setdefault(finding_id, []).append((kind, threshold))
    for finding_id, kind, threshold in connection.execute(fixed):
        points.setdefault(finding_id, []).append((f"fixed_{kind}", threshold))
    known = {
        finding_id: [(kind, cut) for kind, cut in of if cut is not None] for finding_id, of in points.items()
    }
    return ChosenPoints(newest.id, newest.label_manifest_id, newest.model_id, known)


def shared_images(connection: Connection, first: int, second: int) -> int:
    """Count the images that two manifests have in common; images are the same if their names are."""
    names = [
        select(image.c.image_index)
        .join(manifest_row, manifest_row.c.image_id == image.c.id)
        .where(manifest_row.c.manifest_id == manifest_id)
        for manifest_id in (first, second)
    ]
    both = intersect(*names).subquery()
    return int(connection.execute(select(func.count()).select_from(both)).scalar_one())


def model_of(connection: Connection, run_id: int) -> tuple[int, int]:
    """Return the ids of a run's model and manifest; UnknownRunError if there is no such run."""
    row = connection.execute(select(run.c.model_id, run.c.manifest_id).where(run.c.id == run_id)).first()
    if row is None:
        raise UnknownRunError(f"there is no run {run_id}; see: nightread status")
    return row.model_id, row.manifest_id


def write_tested(
    connection: Connection, run_id: int, chosen: ChosenPoints, label_manifest_id: int, rows: Sequence[Record]
) -> None:
    """Write what chosen points bring on a run's images, in place of what an earlier test of them found."""
    key = {"run_id": run_id, "chosen_on": chosen.evaluation_id}
    connection.execute(
        delete(operating_result).where(
            operating_result.c.run_id == run_id, operating_result.c.chosen_on == chosen.evaluation_id
        )
    )
    facts = key | {"label_manifest_id": label_manifest_id, "tested_at": datetime.now(UTC)}
    if rows:
        connection.execute(insert(operating_result), [facts | row for row in rows])


def points_tested(connection: Connection, run_id: int, chosen_on: int) -> Sequence[SqlRow]:
    """Return the rows of the view `operating_points` of a run and of the evaluation that chose them."""
    return connection.execute(
        text(
            """
            SELECT finding, kind, threshold, sensitivity, sensitivity_low, sensitivity_high,
                   specificity, specificity_low, specificity_high,
                   sensitivity_when_chosen, specificity_when_chosen
            FROM operating_points WHERE run_id = :run_id AND chosen_on = :chosen_on ORDER BY finding, kind
            """
        ),
        {"run_id": run_id, "chosen_on": chosen_on},
    ).all()
