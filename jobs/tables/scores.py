"""Reading another system's scores, a CSV with a column a finding, into a run beside one's own."""

import hashlib
import json
import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from math import isnan
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from config.cards.card import FindingName
from db.database import Database
from db.imports import ImportedScores, write_imported
from db.manifests import RowValues
from db.runs import ModelFacts
from jobs.errors import JobsError
from jobs.tables.columns import UNKNOWN, Flaw, Header, check_image, shown
from jobs.tables.manifest import Manifest, ManifestError, ManifestRow, fingerprint_of, located, records

_THRESHOLD: Final = 0.5
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")  # as a model card's
_FINDING_NAME: Final[TypeAdapter[str]] = TypeAdapter(FindingName)
_LOGITS: Final = "Write 1 / (1 + exp(-x)) in place of each x."


class ScoresFile:
    """Another system's scores, read and checked as a whole.

    `images`: their names in the file's order. `findings`: in the order of `config.findings.FINDINGS`, or of
    `finding_columns` (column -> finding). `probabilities`: (N, F) float32, as the database keeps them, NaN
    where the cell is blank or NaN.
    """

    def __init__(
        self,
        path: Path,
        *,
        image_column: str | None = None,
        finding_columns: Mapping[str, str] | None = None,
    ) -> None:
        """Read the file; raise ManifestError where it is wrong anywhere."""
        self.path = path
        content = records(path)
        line, names = next(content, (0, []))
        if not names:
            raise ManifestError(path, "the file is empty", "Scores have a header and a row for each image.")
        seen: dict[str, int] = {}
        values = array("f")
        try:
            self._lay_out(Header(names), image_column, finding_columns)
            for line, fields in content:
                values.extend(self._row(line, fields, seen))
        except Flaw as flaw:
            raise located(flaw, path, line) from None
        if not seen:
            raise ManifestError(path, "there is a header but no row", "Add a row for each image.")
        self.images = tuple(seen)
        self.probabilities: NDArray[np.float32] = np.frombuffer(values, dtype=np.float32).reshape(
            len(seen), len(self.findings)
        )

    def _lay_out(self, header: Header, image: str | None, findings: Mapping[str, str] | None) -> None:
        self._widths = header.widths
        self._image = header.image(image)
        self._image_name = header.names[self._image]
        columns = header.findings(findings)
        if not columns:
            advice = "Name those of the scores with --finding-column COLUMN=FINDING."
            header.fail("no column is named as a finding", advice)
        self.findings = tuple(columns)
        self._columns = [(index, header.names[index]) for index in columns.values()]

    def _row(self, line: int, fields: list[str], seen: dict[str, int]) -> list[float]:
        if len(fields) not in self._widths:
            problem = f"the number of fields is {len(fields)}, in the header {self._widths[0]}"
            raise Flaw(problem, "Quote a field that contains commas, and keep the comma of a blank one.")
        image = fields[self._image]
        check_image(self._image_name, image)
        if seen.setdefault(image, line) != line:
            problem = f"image {shown(image)} was already on line {seen[image]}"
            raise Flaw(problem, "Keep one row for each image.", self._image_name)
        return [_probability(name, fields[index]) for index, name in self._columns]


def _probability(column: str, cell: str) -> float:
    if not cell or cell.isspace():
        return float("nan")
    try:
        # Python would also take 0_1 for 1, and other scripts' digits.
        value = float(cell if cell.isascii() and "_" not in cell else "")
    except ValueError:
        advice = "Write a number from 0 to 1 with a decimal point, or nothing where there is no score."
        raise Flaw(f"score {shown(cell)} is not a number", advice, column) from None
    if 0.0 <= value <= 1.0 or isnan(value):
        return value
    looks = "logits" if value < 0.0 else "logits, or like per cent"
    other = "" if value < 0.0 else " Divide per cent by 100."
    problem = f"score {shown(cell)} is no probability from 0 to 1; these look like {looks}"
    raise Flaw(problem, _LOGITS + other, column)


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """Which scores to take, under which name, and where labels and images are, if anywhere."""

    scores: Path
    name: str
    labels: Path | None = None
    images: Path | None = None
    image_column: str | None = None
    finding_columns: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """The run that the scores are, whether it was written now, and how they and the labels match."""

    run_id: int
    new: bool
    images: int
    findings: int
    unlabelled: int
    """Images of the scores that the labels do not have."""
    unscored: int
    """Images of the labels that the scores do not have."""


class ImportOrderError(JobsError):
    """What is asked for cannot be done; the message names the option."""


def import_scores(database: Database, order: ImportOrder) -> ImportedRun:
    """Check both files and commit the scores as a run, or find the run that they are already.

    Raises ManifestError where a file is wrong, ImportOrderError where a name is; nothing is written then.
    """
    _check_names(order)
    scores = ScoresFile(order.scores, image_column=order.image_column, finding_columns=order.finding_columns)
    labels = None if order.labels is None else _open_labels(order.labels)
    described = {} if labels is None else {row.image_index: row for row in labels}
    labelled = () if labels is None else labels.findings
    unknown = UNKNOWN * len(labelled)
    run_id, new = write_imported(
        database,
        ImportedScores(
            root=str((order.images or order.scores.parent).resolve()),
            path=str(order.scores.resolve()),
            fingerprint=_fingerprint(labels, order),
            version=version("nightread"),
            model=_model(scores.findings, order),
            labelled=labelled,
            rows=[
                _row_values(number, name, described.get(name), unknown)
                for number, name in enumerate(scores.images, start=1)
            ],
            probabilities=scores.probabilities,
        ),
    )
    matched = len(described.keys() & set(scores.images))
    return ImportedRun(
        run_id,
        new,
        len(scores.images),
        len(scores.findings),
        len(scores.images) - matched,
        len(described) - matched,
    )


def _open_labels(path: Path) -> Manifest:
    try:
        return Manifest(path)
    except ManifestError as error:
        if "--image-column" not in error.advice:
            raise
        # The option is about the columns of the scores.
        raise ManifestError(path, error.problem, "Name it Image Index.", error.line) from None


def _row_values(number: int, image: str, row: ManifestRow | None, unknown: str) -> RowValues:
    if row is None:
        return RowValues(number, image, None, None, None, None, None, unknown)
    return RowValues(
        number,
        image,
        row.patient_id,
        row.follow_up,
        row.view_position,
        row.sex,
        row.age_years,
        row.labels,
    )


def _check_names(order: ImportOrder) -> None:
    if not _NAME.fullmatch(order.name):
        raise ImportOrderError(
            f"--name {order.name!r}: a name has lower-case letters, digits, dots, dashes and underscores"
        )
    for name in (order.finding_columns or {}).values():
        try:
            _FINDING_NAME.validate_python(name.strip())
        except ValidationError:
            raise ImportOrderError(
                f"--finding-column: {name!r} is no finding's name; it begins with a letter or a digit, and "
                "has at most 100 characters, no slash among them"
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
