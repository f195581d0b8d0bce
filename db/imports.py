"""Write another system's scores as a run that is scored already; only its evaluation is left to do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isnan

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select, update

from config.failures import Reason, Stage
from db.database import Database, bulk_insert
from db.manifests import ManifestRow, Reading, archive_id, find_or_write_findings, find_or_write_manifest
from db.receipts import write_once
from db.runs import ModelFacts, create_run, find_or_write_model
from db.schema.archives import manifest_row
from db.schema.evaluations import evaluation
from db.schema.runs import batch, image_result, model, run, score
from db.states import OPEN_EVALUATIONS, BatchState, ImageStatus


@dataclass(frozen=True, slots=True)
class ImportedScores:
    """What becomes one run: a model of which only the scores are known, and a manifest.

    `probabilities`: (N, F) float32, one row per image in the order of `rows` and one column per finding in
    the order of `model.findings`; NaN where there is no score. `root` names the archive of the images, which
    need not be there. `labelled` are the findings of the rows' labels.
    """

    root: str
    path: str
    fingerprint: str
    version: str
    model: ModelFacts
    labelled: Sequence[str]
    reading: Reading | None
    rows: Sequence[ManifestRow]
    probabilities: NDArray[np.float32]


def write_imported(database: Database, imported: ImportedScores) -> tuple[int, bool]:
    """Commit the run with its scores in one transaction; returns its id, and whether it is new.

    The same manifest under the same model's name is the run that exists already; nothing is written then.
    Of two imports at the same time, the second waits for the first and finds its run.
    """

    def write(connection: Connection) -> list[int]:
        manifest_id, _ = find_or_write_manifest(
            connection,
            archive=archive_id(connection, imported.root),
            fingerprint=imported.fingerprint,
            path=imported.path,
            findings=imported.labelled,
            rows=imported.rows,
            reading=imported.reading,
        )
        known: int | None = connection.execute(
            select(run.c.id)
            .join(model, model.c.id == run.c.model_id)
            .where(run.c.manifest_id == manifest_id, model.c.name == imported.model.name)
        ).scalar()
        if known is not None:
            return [known, False]
        run_id = create_run(
            connection,
            manifest_id=manifest_id,
            model_id=find_or_write_model(connection, imported.model),
            heatmaps="none",
            batch_size=len(imported.rows),
            version=imported.version,
        )
        _write_outcomes(connection, run_id, manifest_id, imported)
        return [run_id, True]

    run_id, new = write_once(database, write)
    return run_id, bool(new)


def _write_outcomes(connection: Connection, run_id: int, manifest_id: int, imported: ImportedScores) -> None:
    images = (
        connection.execute(
            select(manifest_row.c.image_id)
            .where(manifest_row.c.manifest_id == manifest_id)
            .order_by(manifest_row.c.row_number)
        )
        .scalars()
        .all()
    )
    unscored = [bool(blank.all()) for blank in np.isnan(imported.probabilities)]
    failed = sum(unscored)
    now = datetime.now(UTC)
    batch_id: int = connection.execute(
        update(batch)
        .where(batch.c.run_id == run_id)
        .values(
            state=BatchState.DONE,
            started_at=now,
            finished_at=now,
            scored=len(images) - failed,
            failed=failed,
        )
        .returning(batch.c.id)
    ).scalar_one()
    why = (Stage.IMPORT, Reason.NO_SCORE, "the file has no score for it")
    bulk_insert(
        connection,
        image_result,
        ("run_id", "image_id", "batch_id", "status", "stage", "reason", "message"),
        (
            (run_id, image_id, batch_id, ImageStatus.FAILED, *why)
            if fails
            else (run_id, image_id, batch_id, ImageStatus.SCORED, None, None, None)
            for image_id, fails in zip(images, unscored, strict=True)
        ),
    )
    ids = find_or_write_findings(connection, imported.model.findings)
    bulk_insert(
        connection,
        score,
        ("run_id", "image_id", "finding_id", "probability"),
        _score_rows(run_id, images, [ids[name] for name in imported.model.findings], imported.probabilities),
    )


def _score_rows(
    run_id: int, images: Sequence[int], findings: Sequence[int], probabilities: NDArray[np.float32]
) -> Iterator[tuple[int, int, int, float]]:
    for image_id, row in zip(images, probabilities, strict=True):
        for finding_id, probability in zip(findings, row.tolist(), strict=True):
            if not isnan(probability):
                yield run_id, image_id, finding_id, probability


def open_evaluation(database: Database, run_id: int) -> int | None:
    """Return the evaluation that a run still waits for, as after an import that was interrupted."""
    with database.read() as connection:
        found: int | None = connection.execute(
            select(evaluation.c.id).where(
                evaluation.c.run_id == run_id,
                evaluation.c.closes_run,
                evaluation.c.state.in_(OPEN_EVALUATIONS),
            )
        ).scalar()
    return found
