"""A run's scores beside a label set, as arrays: what evaluations and comparisons are computed from."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, and_, func, select

from db.database import SqlRow, SqlValue, driver_of
from db.errors import UnknownRunError
from db.schema.archives import finding, image, manifest, manifest_finding, manifest_row
from db.schema.runs import model_finding, run
from db.states import GONE

UNKNOWN: Final = -1
"""The label of an image that nobody looked at for a finding."""

_FACTS: Final = ("patient_id", "sex", "age_years", "view_position")

_ROW: Final = np.dtype([("image", "i4"), ("finding", "i4"), ("probability", "f4")])
_SENT_ROW: Final = _ROW.newbyteorder(">")

_PACKED: Final = """
    SELECT string_agg(int4send(image_id) || int4send(finding_id) || float4send(probability), ''::bytea)
    FROM score WHERE run_id = %s GROUP BY image_id / 4096
"""
"""Some thousand rows at a time as bytes: taking 1.5 million rows one by one took three times as long."""


@dataclass(frozen=True, slots=True)
class ScoredFinding:
    """A finding of a run's model; `position` is its place in the label set's strings, None if it has none."""

    finding_id: int
    name: str
    threshold: float
    position: int | None


@dataclass(frozen=True, slots=True)
class LabelledScores:
    """The scores of one run and the labels of one label set, for the images of the label set.

    `images` (N,): their ids, rising. `facts`: a frame of N rows with patient_id, sex, age_years and
    view_position, from the label set or else from the run's own manifest. `probabilities` (N, F) float32, NaN
    where the run has no score; `labels` (N, F) int8: 1, 0, or -1 where unknown; both in the order of
    `findings`, the model's.
    """

    findings: tuple[ScoredFinding, ...]
    images: NDArray[np.int64]
    facts: pd.DataFrame
    probabilities: NDArray[np.float32]
    labels: NDArray[np.int8]


def read_scores(
    connection: Connection, run_id: int, label_manifest_id: int, *, own: bool = False
) -> LabelledScores:
    """Read a run's scores of a label set's images, in one snapshot if the transaction has one.

    A run that took only new images (`run.only_new`) is read together with the earlier runs of its model: each
    image has the score of the newest; with `own`, its own scores count alone. Where the label set is of
    another archive than the run, images with the same name are the same.
    """
    source = connection.execute(
        select(run.c.id, run.c.model_id, run.c.manifest_id, run.c.only_new, manifest.c.archive_id)
        .join(manifest, manifest.c.id == run.c.manifest_id)
        .where(run.c.id == run_id)
    ).first()
    if source is None:
        raise UnknownRunError(f"there is no run {run_id}; see: nightread status")
    findings = _findings(connection, source.model_id, label_manifest_id)
    rows = _label_rows(connection, label_manifest_id, source.manifest_id)
    images = rows["image_id"].to_numpy(dtype=np.int64)
    return LabelledScores(
        findings,
        images,
        rows[list(_FACTS)],
        _probabilities(connection, source, label_manifest_id, images, findings, own=own),
        _labels(rows["labels"], findings),
    )


def _findings(connection: Connection, model_id: int, label_manifest_id: int) -> tuple[ScoredFinding, ...]:
    rows = connection.execute(
        select(finding.c.id, finding.c.name, model_finding.c.threshold, manifest_finding.c.position)
        .join_from(model_finding, finding, finding.c.id == model_finding.c.finding_id)
        .outerjoin(
            manifest_finding,
            and_(
                manifest_finding.c.finding_id == finding.c.id,
                manifest_finding.c.manifest_id == label_manifest_id,
            ),
        )
        .where(model_finding.c.model_id == model_id)
        .order_by(model_finding.c.position)
    )
    return tuple(ScoredFinding(*row) for row in rows)


def _label_rows(connection: Connection, label_manifest_id: int, run_manifest_id: int) -> pd.DataFrame:
    """Read the label set's rows; facts of a patient that it lacks are taken from the run's own manifest."""
    labelled, own = manifest_row, manifest_row.alias()
    facts = (func.coalesce(labelled.c[name], own.c[name]).label(name) for name in _FACTS)
    query: Select[SqlValue] = (
        select(labelled.c.image_id, labelled.c.labels, *facts)
        .outerjoin(own, and_(own.c.manifest_id == run_manifest_id, own.c.image_id == labelled.c.image_id))
        .where(labelled.c.manifest_id == label_manifest_id)
        .order_by(labelled.c.image_id)
    )
    if label_manifest_id == run_manifest_id:
        query = (
            select(labelled.c.image_id, labelled.c.labels, *(labelled.c[name] for name in _FACTS))
            .where(labelled.c.manifest_id == label_manifest_id)
            .order_by(labelled.c.image_id)
        )
    return pd.read_sql_query(query, connection)


def _labels(labels: "pd.Series[str]", findings: Sequence[ScoredFinding]) -> NDArray[np.int8]:
    # An archive has few distinct label strings: a finding's character is looked up once in each.
    codes, distinct = pd.factorize(labels)
    values = {"0": 0, "1": 1}
    table = np.full((len(distinct), len(findings)), UNKNOWN, dtype=np.int8)
    for column, wanted in enumerate(findings):
        if wanted.position is not None:
            table[:, column] = [values.get(text[wanted.position], UNKNOWN) for text in distinct]
    spread: NDArray[np.int8] = table[codes]
    return spread


def _probabilities(
    connection: Connection,
    source: SqlRow,
    label_manifest_id: int,
    images: NDArray[np.int64],
    findings: Sequence[ScoredFinding],
    *,
    own: bool,
) -> NDArray[np.float32]:
    runs = [source.id]
    if source.only_new and not own:
        before = select(run.c.id).where(
            run.c.model_id == source.model_id, run.c.id <= source.id, run.c.status.not_in(GONE)
        )
        runs = [row.id for row in connection.execute(before.order_by(run.c.id))]
    here = connection.execute(
        select(manifest.c.archive_id).where(manifest.c.id == label_manifest_id)
    ).scalar_one()
    renamed = None if here == source.archive_id else _renamed(connection, source.archive_id, here)
    columns = {wanted.finding_id: column for column, wanted in enumerate(findings)}
    column_of = np.full(max(columns, default=0) + 2, -1)
    column_of[list(columns)] = list(columns.values())
    spread = np.full((images.size, len(findings)), np.nan, dtype=np.float32)
    for run_id in runs:  # in their order: the newest run's score is the one that remains
        rows = _score_rows(connection, run_id)
        found = rows["image"] if renamed is None else _translated(rows["image"], *renamed)
        places = np.minimum(np.searchsorted(images, found), max(images.size - 1, 0))
        known = column_of[np.minimum(rows["finding"], column_of.size - 1)] >= 0
        known &= images[places] == found if images.size else False
        spread[places[known], column_of[rows["finding"][known]]] = rows["probability"][known]
    return spread


def _score_rows(connection: Connection, run_id: int) -> NDArray[np.void]:
    """Read (image, finding, probability) of a run: a million and a half rows in seconds and little memory."""
    driver = driver_of(connection)
    if connection.dialect.name == "postgresql":
        with driver.cursor(binary=True) as cursor:
            packed = b"".join(row[0] for row in cursor.execute(_PACKED, (run_id,)))
        return np.frombuffer(packed, dtype=_SENT_ROW).astype(_ROW)
    query = "SELECT image_id, finding_id, probability FROM score WHERE run_id = ?"
    return np.fromiter(driver.execute(query, (run_id,)), dtype=_ROW)


def _renamed(
    connection: Connection, from_archive: int, to_archive: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair the ids of the images with the same name in two archives, sorted by the first archive's ids."""
    there = image.alias()
    pairs = connection.execute(
        select(image.c.id, there.c.id)
        .join(there, and_(there.c.image_index == image.c.image_index, there.c.archive_id == to_archive))
        .where(image.c.archive_id == from_archive)
        .order_by(image.c.id)
    )
    flat = np.fromiter(chain.from_iterable(pairs), dtype=np.int64)
    return flat[0::2], flat[1::2]


def _translated(
    ids: NDArray[np.int32], known: NDArray[np.int64], meant: NDArray[np.int64]
) -> NDArray[np.int64]:
    if not known.size:
        return np.full(ids.size, -1)
    places = np.minimum(np.searchsorted(known, ids), known.size - 1)
    translated: NDArray[np.int64] = np.where(known[places] == ids, meant[places], -1)
    return translated
