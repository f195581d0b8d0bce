"""Questions that the command line asks: progress, the AUC table, failures, one image's maps."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import PurePath
from typing import NamedTuple

from sqlalchemy import Connection, column, select, table, text

from config.cards.card import CardFields
from config.cards.model import DEFAULT_KIND
from db.database import Database, SqlRow, SqlValue
from db.errors import UnknownRunError
from db.schema.archives import archive, finding, image, manifest
from db.schema.base import State, UtcDateTime
from db.schema.runs import image_result, model, model_finding, run
from db.states import GONE, ImageStatus, RunStatus


@dataclass(frozen=True, slots=True)
class Progress:
    """A row of the view `progress`."""

    run_id: int
    status: RunStatus
    images: int
    scored: int
    failed: int
    pending: int
    started_at: datetime | None
    finished_at: datetime | None
    images_per_second: float | None
    model: str
    model_sha256: str
    manifest: str
    message: str | None
    engines: str | None
    waits_for: str | None

    @property
    def settled(self) -> bool:
        """Whether the run has ended, well or not."""
        return self.status.settled


_PROGRESS_VIEW = table(
    "progress",
    *(column(name) for name in Progress.__slots__ if name != "status" and not name.endswith("_at")),
    column("status", State(RunStatus)),
    column("started_at", UtcDateTime),
    column("finished_at", UtcDateTime),
)
_PROGRESS = select(*(_PROGRESS_VIEW.c[name] for name in Progress.__slots__))


def progress(database: Database, run_id: int) -> Progress:
    """Return a run's progress; UnknownRunError if there is no such run."""
    with database.read() as connection:
        row = connection.execute(_PROGRESS.where(_PROGRESS_VIEW.c.run_id == run_id)).first()
    if row is None:
        raise UnknownRunError(f"there is no run {run_id}; see: nightread status")
    return Progress(*row)


def all_progress(database: Database) -> list[Progress]:
    """Return every run's progress, newest first, but for those that are deleted."""
    there = _PROGRESS.where(_PROGRESS_VIEW.c.status != RunStatus.DELETED)
    with database.read() as connection:
        rows = connection.execute(there.order_by(_PROGRESS_VIEW.c.run_id.desc()))
        return [Progress(*row) for row in rows]


def newest_run(database: Database, name: str | None = None) -> int:
    """Return the number of the newest run, or of the newest whose model or manifest has this name.

    A manifest's name is its file's, with or without its ending. Raises UnknownRunError.
    """
    runs = [found for found in all_progress(database) if found.status not in GONE]
    for found in runs:
        file = PurePath(found.manifest).name
        if name is None or name in {found.model, file, file.split(".", maxsplit=1)[0]}:
            return found.run_id
    if not runs:
        raise UnknownRunError("there are no runs yet")
    names = sorted({word for found in runs for word in (found.model, PurePath(found.manifest).name)})
    near = get_close_matches(name or "", names, n=1)
    hint = f"; is {near[0]} meant?" if near else ""
    raise UnknownRunError(
        f"there is no run {name!r}: a run is a number, last, or a model's or manifest's name{hint}"
    )


def require_there(database: Database, run_id: int) -> None:
    """Raise UnknownRunError for a run that is deleted; one that never was is for others to say."""
    with database.read() as connection:
        status = connection.execute(select(run.c.status).where(run.c.id == run_id)).scalar_one_or_none()
    if status in GONE:
        raise UnknownRunError(f"run {run_id} is deleted; see: nightread status")


def auc_table(database: Database, run_id: int) -> Sequence[SqlRow]:
    """Return the newest evaluation's rows of the view `auc` for all images, in the model's order."""
    with database.read() as connection:
        return connection.execute(
            text(
                """
                SELECT auc.finding, n_positive, n_negative, auroc, ci_low, ci_high, ci_method, reason
                FROM auc
                JOIN finding f ON f.name = auc.finding
                JOIN run ON run.id = auc.run_id
                JOIN model_finding m ON m.model_id = run.model_id AND m.finding_id = f.id
                WHERE auc.run_id = :run_id AND subgroup = 'all'
                  AND evaluation_id = (SELECT MAX(evaluation_id) FROM auc WHERE run_id = :run_id)
                ORDER BY m.position
                """
            ),
            {"run_id": run_id},
        ).all()


def segment_table(database: Database, run_id: int) -> Sequence[SqlRow]:
    """Return the newest evaluation's rows of the view `segment_summary`, in the model's order."""
    with database.read() as connection:
        return connection.execute(
            text(
                """
                SELECT s.finding, s.measure, s.cases, s.left_out, s.mean, s.low, s.high, s.median, s.reason
                FROM segment_summary s
                JOIN finding f ON f.name = s.finding
                JOIN run ON run.id = s.run_id
                JOIN model_finding m ON m.model_id = run.model_id AND m.finding_id = f.id
                WHERE s.run_id = :run_id
                  AND evaluation_id = (SELECT MAX(evaluation_id) FROM segment_summary WHERE run_id = :run_id)
                ORDER BY m.position, s.measure
                """
            ),
            {"run_id": run_id},
        ).all()


def localisation_table(database: Database, evaluation_id: int) -> Sequence[SqlRow]:
    """Return the rows of the view `localisation` of an evaluation: finding to reason."""
    with database.read() as connection:
        return connection.execute(
            text(
                """
                SELECT finding, images, hits, pointing, ci_low, ci_high,
                       mean_iou, mean_iou_low, mean_iou_high, reason
                FROM localisation WHERE evaluation_id = :evaluation_id ORDER BY finding
                """
            ),
            {"evaluation_id": evaluation_id},
        ).all()


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """A run's failures of one stage and reason: how many, and the first of their names."""

    stage: str
    reason: str
    images: int
    first: list[str]

    @property
    def example(self) -> str:
        """One of the images."""
        return self.first[0]


def failure_reasons(database: Database, run_id: int, names: int = 1) -> list[FailureGroup]:
    """Count a run's failures by stage and reason, the commonest first, with up to `names` images each."""
    with database.read() as connection:
        rows = connection.execute(
            text(
                """
                SELECT stage, reason, images, image_index
                FROM (SELECT stage, reason, image_index,
                             COUNT(*) OVER (PARTITION BY stage, reason) AS images,
                             ROW_NUMBER() OVER (PARTITION BY stage, reason ORDER BY image_index) AS place
                      FROM failures WHERE run_id = :run_id) AS ranked
                WHERE place <= :names
                ORDER BY images DESC, stage, reason, place
                """
            ),
            {"run_id": run_id, "names": names},
        ).all()
    groups: list[FailureGroup] = []
    for row in rows:
        if not groups or (groups[-1].stage, groups[-1].reason) != (row.stage, row.reason):
            groups.append(FailureGroup(row.stage, row.reason, row.images, []))
        groups[-1].first.append(row.image_index)
    return groups


class Flagged(NamedTuple):
    """A run's images that its model's gate has looked at, and those that did not pass."""

    seen: int
    flagged: int


def count_flagged(database: Database, run_id: int) -> Flagged:
    """Count a run's flagged images; none is seen where the model has no gate."""
    with database.read() as connection:
        row = connection.execute(
            text("SELECT COUNT(*), COUNT(flag) FROM quality WHERE run_id = :run_id"), {"run_id": run_id}
        ).one()
    return Flagged(*row)


def count_changed(database: Database, run_id: int) -> int:
    """Count a run's images whose bytes are not those that were read before, in it or in an earlier run."""
    with database.read() as connection:
        changed: int = connection.execute(
            text("SELECT COUNT(*) FROM contents WHERE run_id = :run_id AND changed = 1"), {"run_id": run_id}
        ).scalar_one()
    return changed


def model_card(database: Database, run_id: int) -> CardFields:
    """Return the card of the model that a run was made with."""
    with database.read() as connection:
        card = connection.execute(
            select(model.c.card).join(run, run.c.model_id == model.c.id).where(run.c.id == run_id)
        ).scalar_one_or_none()
    if card is None:
        raise UnknownRunError(f"there is no run {run_id}; see: nightread status")
    content: CardFields = json.loads(card)
    return content


def model_kind(database: Database, run_id: int) -> str:
    """Return the kind on the card of a run's model; UnknownRunError where there is no such run."""
    # Cards that were written before there were kinds, and those of imported runs, have none.
    kind: str = model_card(database, run_id).get("kind", DEFAULT_KIND)
    return kind


def reading_of(database: Database, run_id: int) -> dict[str, SqlValue] | None:
    """Return what was taken of a run's manifest, as `Reading` has it; None where that was not kept."""
    with database.read() as connection:
        kept = connection.execute(
            select(manifest.c.reading).join(run, run.c.manifest_id == manifest.c.id).where(run.c.id == run_id)
        ).scalar_one_or_none()
    reading: dict[str, SqlValue] | None = kept and json.loads(kept)
    return reading


@dataclass(frozen=True, slots=True)
class StoredMaps:
    """The stored maps of one image: float16 bytes (height, width, findings).

    `bits`: used in its run's 16-bit pictures, None where each is judged by itself.
    """

    root: str
    bits: int | None
    width: int
    height: int
    maps: bytes
    map_height: int
    map_width: int
    findings: tuple[str, ...]


def stored_maps(database: Database, run_id: int, image_index: str) -> StoredMaps | str:
    """Return an image's maps, or a sentence that says why there are none."""
    with database.read() as connection:
        if connection.execute(select(run.c.id).where(run.c.id == run_id)).first() is None:
            raise UnknownRunError(f"there is no run {run_id}; see: nightread status")
        row = connection.execute(
            select(image_result, archive.c.root, run.c.bits)
            .join(run, run.c.id == image_result.c.run_id)
            .join(image, image.c.id == image_result.c.image_id)
            .join(archive, archive.c.id == image.c.archive_id)
            .where(image_result.c.run_id == run_id, image.c.image_index == image_index)
        ).first()
        if row is None:
            return f"run {run_id} has no result for {image_index}"
        if row.status == ImageStatus.FAILED:
            return f"{image_index} could not be scored: {row.message}"
        if row.maps is None:
            return f"run {run_id} was made with --heatmaps none"
        names = model_findings(connection, run_id)
    return StoredMaps(
        row.root, row.bits, row.width, row.height, row.maps, row.map_height, row.map_width, names
    )


def model_findings(connection: Connection, run_id: int) -> tuple[str, ...]:
    """Return the findings of a run's model, in the model's order; none where there is no such run."""
    return tuple(
        connection.execute(
            select(finding.c.name)
            .join(model_finding, model_finding.c.finding_id == finding.c.id)
            .join(run, run.c.model_id == model_finding.c.model_id)
            .where(run.c.id == run_id)
            .order_by(model_finding.c.position)
        ).scalars()
    )
