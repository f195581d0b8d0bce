"""Comparisons of two runs on the same images, kept as history."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select

from db.database import Record, insert_rows
from db.errors import UnknownRunError
from db.schema.evaluations import comparison, comparison_result, evaluation
from db.schema.runs import run


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Two runs' AUROCs on the images that both scored.

    `rows`: one per finding that both runs' models have: finding_id, finding and the columns of the table
    `comparison_result`.
    """

    images: int
    rows: list[Record]


def write_comparison(
    connection: Connection,
    run_a: int,
    run_b: int,
    label_manifest_id: int,
    label_set: str,
    comparisons: Comparisons,
) -> int:
    """Write a comparison; returns its id. It is new each time."""
    written: int = connection.execute(
        insert(comparison)
        .values(
            run_a=run_a,
            run_b=run_b,
            label_manifest_id=label_manifest_id,
            label_set=label_set,
            images=comparisons.images,
            compared_at=datetime.now(UTC),
        )
        .returning(comparison.c.id)
    ).scalar_one()
    names = [column.name for column in comparison_result.columns if column.name != "comparison_id"]
    values = ((written, *(row[name] for name in names)) for row in comparisons.rows)
    insert_rows(connection, comparison_result, ["comparison_id", *names], values)
    return written


def find_label_set(connection: Connection, run_ids: tuple[int, ...], label_set: str | None) -> int:
    """Return the label set with this name that an evaluation of one of the runs used last.

    Without a name: the labels of the first run's own manifest. Raises UnknownRunError for a run or a label
    set that does not exist.
    """
    manifests = {
        row.id: row.manifest_id
        for row in connection.execute(select(run.c.id, run.c.manifest_id).where(run.c.id.in_(run_ids)))
    }
    for run_id in run_ids:
        if run_id not in manifests:
            raise UnknownRunError(f"there is no run {run_id}; see: nightread status")
    if label_set is None:
        return int(manifests[run_ids[0]])
    used = (
        select(evaluation.c.label_manifest_id, evaluation.c.label_set)
        .where(evaluation.c.run_id.in_(run_ids))
        .order_by(evaluation.c.id.desc())
    )
    known = [(row.label_set, row.label_manifest_id) for row in connection.execute(used)]
    for name, label_manifest_id in known:
        if name == label_set:
            return int(label_manifest_id)
    names = ", ".join(sorted({name for name, _ in known})) or "none"
    raise UnknownRunError(
        f"no evaluation of run {' or '.join(map(str, run_ids))} used a label set {label_set!r}; "
        f"they used: {names}"
    )
