"""The producer of an import: another system's scores, with labels if there are any, become a run."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from config.cards.card import FindingName, ModelName
from db.database import Database
from db.imports import ImportedScores, write_imported
from db.manifests import ManifestRow, Reading
from db.runs import ModelFacts
from jobs.errors import InputError
from jobs.sources.source import open_source
from jobs.tables.errors import TableError
from jobs.tables.label_columns import UNKNOWN
from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions
from jobs.tables.scores import read_scores
from jobs.tables.table import fingerprint_of

_THRESHOLD: Final = 0.5
_MODEL_NAME: Final[TypeAdapter[str]] = TypeAdapter(ModelName)
_FINDING_NAME: Final[TypeAdapter[str]] = TypeAdapter(FindingName)


class ImportOrderError(InputError):
    """What is asked for cannot be done; the message names the option."""


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """Which scores to take, under which name, and where labels and images are, if anywhere."""

    scores: Path
    name: str
    labels: Path | None = None
    images: Path | None = None
    image_column: str | None = None
    finding_columns: Mapping[str, str] | None = None
    read: ReadOptions = field(default_factory=ReadOptions)
    """How the labels are read; its encoding and sheet are also those of the scores."""


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """The run of the scores, whether it was written now, and how scores and labels match."""

    run_id: int
    new: bool
    images: int
    findings: int
    unlabelled: int
    """Images of the scores that the labels do not have."""
    unscored: int
    """Images of the labels that the scores do not have."""
    reading: Reading | None
    """What was taken of the labels."""


def import_scores(database: Database, order: ImportOrder) -> ImportedRun:
    """Check both files and commit the scores as a run, or find the run that has them already.

    Raises TableError where a file is wrong, ImportOrderError where a name is; nothing is written then.
    """
    _check_names(order)
    scores = read_scores(
        order.scores,
        image_column=order.image_column,
        finding_columns=order.finding_columns,
        encoding=order.read.encoding,
        sheet=order.read.sheet if order.labels is None else None,
    )
    labels = None if order.labels is None else _open_labels(order.labels, order.read, scores.findings)
    described = {} if labels is None else {row.image_index: row for row in labels}
    labelled = () if labels is None else labels.findings
    unknown = UNKNOWN * len(labelled)
    imported = ImportedScores(
        root=open_source(order.images or order.scores.parent).root,
        path=str(order.scores.resolve()),
        fingerprint=_fingerprint(labels, order),
        version=version("nightread"),
        model=_model(scores.findings, order),
        labelled=labelled,
        reading=None if labels is None else labels.reading,
        rows=[described.get(image) or ManifestRow(image, labels=unknown) for image in scores.images],
        probabilities=scores.probabilities,
    )
    run_id, new = write_imported(database, imported)
    images, matched = len(scores.images), len(described.keys() & set(scores.images))
    return ImportedRun(
        run_id,
        new,
        images,
        len(scores.findings),
        unlabelled=images - matched,
        unscored=len(described) - matched,
        reading=imported.reading,
    )


def _open_labels(path: Path, read: ReadOptions, findings: Sequence[str]) -> Manifest:
    try:
        return Manifest(path, read, findings=findings)
    except TableError as error:
        if "--image-column" not in error.advice:
            raise
        # The option is about the columns of the scores.
        raise TableError(path, error.problem, "Name it Image Index.", error.line) from None


def _check_names(order: ImportOrder) -> None:
    try:
        _MODEL_NAME.validate_python(order.name)
    except ValidationError:
        raise ImportOrderError(
            f"--name {order.name!r}: a name has lower-case letters, digits, dots, dashes and underscores"
        ) from None
    for name in (order.finding_columns or {}).values():
        try:
            _FINDING_NAME.validate_python(name.strip())
        except ValidationError:
            raise ImportOrderError(
                f"--finding-column: {name!r} is not a finding's name; one begins with a letter or a digit, "
                "and has at most 100 characters, no slash among them"
            ) from None


def _fingerprint(labels: Manifest | None, order: ImportOrder) -> str:
    """Return the SHA-256, in hex, of both files and of how they are read."""
    columns = None if order.finding_columns is None else [*order.finding_columns.items()]
    labelled = None if labels is None else labels.fingerprint()
    return fingerprint_of(order.scores, ["scores", order.image_column, columns, labelled])


def _model(findings: tuple[str, ...], order: ImportOrder) -> ModelFacts:
    thresholds = [_THRESHOLD] * len(findings)
    with order.scores.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    card = json.dumps(
        {
            "name": order.name,
            "description": f"scores imported from {order.scores.name}",
            "architecture": "imported",
            "sha256": sha256,
            "findings": findings,
            "thresholds": thresholds,
            "trained": True,
            "clinical_use": False,
            "provenance": str(order.scores.resolve()),
            "licence": "unknown",
        }
    )
    fingerprint = hashlib.sha256(card.encode()).hexdigest()
    return ModelFacts(order.name, sha256, card, fingerprint, findings, thresholds)
