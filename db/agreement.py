"""How far the readers of a file agree on a run's images; new figures take the old ones' place."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, select

from db.database import insert_rows
from db.manifests import find_or_write_findings
from db.schema.archives import image, manifest_row
from db.schema.evaluations import agreement_result
from db.schema.runs import run


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """A kappa of one finding: Cohen's of two readers, or Fleiss' of all, whose names are then None.

    `readers`: of each of the `images`. What is not defined is None, with the `reason`.
    """

    finding: str
    statistic: str
    reader_a: str | None
    reader_b: str | None
    readers: int
    images: int
    kappa: float | None
    ci_low: float | None
    ci_high: float | None
    reason: str | None


def images_of(connection: Connection, run_id: int) -> set[str]:
    """Return the names of the images of a run's manifest."""
    names = (
        select(image.c.image_index)
        .join(manifest_row, manifest_row.c.image_id == image.c.id)
        .join(run, run.c.manifest_id == manifest_row.c.manifest_id)
        .where(run.c.id == run_id)
    )
    return set(connection.execute(names).scalars())


def write_agreement(connection: Connection, run_id: int, labels: str, rows: Sequence[AgreementRow]) -> None:
    """Write the agreement of a file's readers on a run's images."""
    connection.execute(
        delete(agreement_result).where(
            agreement_result.c.run_id == run_id, agreement_result.c.labels == labels
        )
    )
    ids = find_or_write_findings(connection, sorted({row.finding for row in rows}))
    facts = ("statistic", "reader_a", "reader_b", "readers", "images", "kappa", "ci_low", "ci_high", "reason")
    now = datetime.now(UTC)
    values = (
        (run_id, labels, number, ids[row.finding], *(getattr(row, fact) for fact in facts), now)
        for number, row in enumerate(rows, start=1)
    )
    names = ("run_id", "labels", "number", "finding_id", *facts, "measured_at")
    insert_rows(connection, agreement_result, names, values)
