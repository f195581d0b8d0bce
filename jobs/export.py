"""From SQL to other programs: the rows of a run as CSV or Parquet."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import IO, Final, Literal

import numpy as np
import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from config.files import whole_file
from db import queries
from db.answers import AT_ONCE, streamed
from db.database import Database, SqlValue

Format = Literal["csv", "parquet"]
FORMATS: Final[Mapping[str, Format]] = {".csv": "csv", ".parquet": "parquet"}
"""By the ending of a file's name."""

What = Literal["scores", "failures", "heatmaps", "auc", "segments"]
Row = tuple[SqlValue, ...]

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that spreadsheets compute; they pass over blanks before it."""

_IMAGE: Final = {"run_id": "int32", "image_index": "string"}
_NAMED: Final = {"finding": "word"}


@dataclass(frozen=True, slots=True)
class Export:
    """What is exported of a view: its columns with their types, and the columns that order its rows.

    Types are Arrow's names; `word` is a string of few distinct values, `time` a moment in UTC.
    """

    columns: Mapping[str, str]
    order: tuple[str, ...]


_PERSON: Final = {
    "patient_id": "string",
    "view_position": "word",
    "sex": "word",
    "age_years": "double",
    "follow_up": "int32",
}

EXPORTS: Final[Mapping[What, Export]] = {
    "scores": Export(
        {
            **_IMAGE,
            **_PERSON,
            **_NAMED,
            "probability": "float",
            "label": "int8",
            "threshold": "double",
            "calibrated": "float",
            "spread": "float",
        },
        ("image_index", "finding"),
    ),
    "failures": Export(
        {**_IMAGE, "stage": "word", "reason": "word", "message": "string", "tag": "string"}, ("image_index",)
    ),
    "heatmaps": Export(
        {
            **_IMAGE,
            **_NAMED,
            "probability": "float",
            "threshold": "double",
            **dict.fromkeys(("peak_x", "peak_y", "box_x", "box_y", "box_width", "box_height"), "int32"),
            **dict.fromkeys(("image_width", "image_height"), "int32"),
            "overlay_path": "string",
            **dict.fromkeys(("box_width_mm", "box_height_mm"), "double"),
            "spacing": "word",
        },
        ("image_index", "finding"),
    ),
    "auc": Export(
        {
            "run_id": "int32",
            "evaluation_id": "int32",
            "evaluated_at": "time",
            **dict.fromkeys(("label_set", "subgroup", "finding"), "word"),
            **dict.fromkeys(("n_positive", "n_negative", "patients", "without_patient"), "int32"),
            "ci_method": "word",
            **dict.fromkeys(
                (
                    *("auroc", "ci_low", "ci_high", "bootstrap_low", "bootstrap_high"),
                    *("average_precision", "average_precision_low", "average_precision_high"),
                    *("threshold", "sensitivity", "specificity", "ppv", "npv", "f1"),
                    *("brier", "brier_low", "brier_high", "calibration_error"),
                    *("platt_slope", "platt_intercept"),
                ),
                "double",
            ),
            "reason": "string",
            **dict.fromkeys(("model", "model_sha256"), "word"),
        },
        ("evaluation_id", "subgroup", "finding"),
    ),
    "segments": Export(
        {
            **_IMAGE,
            "patient_id": "string",
            **_NAMED,
            "kind": "word",
            **dict.fromkeys(("voxels", "components"), "int32"),
            **dict.fromkeys(("ml", "largest_ml"), "double"),
            **dict.fromkeys(("box_x0", "box_y0", "box_z0", "box_x1", "box_y1", "box_z1"), "int32"),
            **dict.fromkeys(("centroid_x", "centroid_y", "centroid_z", "probability_max"), "double"),
            "reference_voxels": "int32",
            **dict.fromkeys(
                ("dice", "soft_dice", "sensitivity", "specificity", "hd95_mm", "assd_mm"), "double"
            ),
            "reason": "word",
            "mask_path": "string",
        },
        ("image_index", "finding"),
    ),
}


def write_file(
    database: Database,
    run_id: int,
    output: Path,
    format_: Format,
    *,
    what: What = "scores",
    wide: bool = False,
    for_spreadsheet: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Write a run's rows to a file that appears once it is whole; returns their number.

    `progress` is called with the number of rows so far. Raises OSError where the file cannot be written.
    """
    with whole_file(output) as beside:
        if format_ == "parquet":
            return write_parquet(database, run_id, beside, what=what, wide=wide, progress=progress)
        with beside.open("w", encoding="utf-8", newline="") as stream:
            return write_csv(
                database,
                run_id,
                stream,
                what=what,
                wide=wide,
                for_spreadsheet=for_spreadsheet,
                progress=progress,
            )


def write_csv(
    database: Database,
    run_id: int,
    stream: IO[str],
    *,
    what: What = "scores",
    wide: bool = False,
    for_spreadsheet: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Write a run's rows as CSV with a header; returns their number.

    NULL is an empty field, a moment ISO 8601 in UTC, a probability the shortest decimal that is read back as
    the same single-precision number. `for_spreadsheet` puts an apostrophe before a text that a spreadsheet
    would take for a formula.
    """
    writer = csv.writer(stream, lineterminator="\n")
    count = 0
    with _opened(database, run_id, what, wide=wide) as (columns, rows):
        writer.writerow(columns)
        single = [index for index, kind in enumerate(columns.values()) if kind == "float"]
        times = [index for index, kind in enumerate(columns.values()) if kind == "time"]
        for chunk in _chunks(rows):
            fields = (_as_text(row, single, times) for row in chunk)
            writer.writerows(map(_no_formulas, fields) if for_spreadsheet else fields)
            count += len(chunk)
            progress(count)
    return count


def _no_formulas(row: Iterable[SqlValue]) -> list[SqlValue]:
    """Have no text begin as a formula; a number may begin with a minus."""
    return [f"'{value}" if _is_formula(value) else value for value in row]


def _is_formula(value: SqlValue) -> bool:
    return isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA) and not _is_number(value)


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _as_text(row: Row, single: Iterable[int], times: Iterable[int]) -> list[SqlValue]:
    fields = list(row)
    for index in single:
        if fields[index] is not None:
            fields[index] = str(np.float32(fields[index]))
    for index in times:
        if fields[index] is not None:
            fields[index] = fields[index].isoformat()
    return fields


def write_parquet(
    database: Database,
    run_id: int,
    path: Path,
    *,
    what: What = "scores",
    wide: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Write a run's rows as Parquet with typed columns, a row group at a time; returns their number."""
    count = 0
    with _opened(database, run_id, what, wide=wide) as (columns, rows):
        special = {"word": pa.dictionary(pa.int32(), pa.string()), "time": pa.timestamp("us", tz="UTC")}
        schema = pa.schema(
            [(name, special.get(kind) or pa.type_for_alias(kind)) for name, kind in columns.items()]
        )
        with ParquetWriter(path, schema) as writer:
            for chunk in _chunks(rows):
                values = zip(zip(*chunk, strict=True), schema, strict=True)
                writer.write_batch(
                    pa.record_batch([pa.array(value, field.type) for value, field in values], schema=schema)
                )
                count += len(chunk)
                progress(count)
    return count


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(islice(rows, AT_ONCE)):
        yield chunk


@contextmanager
def _opened(
    database: Database, run_id: int, what: What, *, wide: bool
) -> Iterator[tuple[Mapping[str, str], Iterator[Row]]]:
    """Return the columns' types and a stream of the rows, all as of one moment."""
    columns, order = EXPORTS[what].columns, EXPORTS[what].order
    if wide:
        columns = {**_IMAGE, **_PERSON, **_NAMED, "probability": "float"}
    times = {name: kind == "time" for name, kind in columns.items()}
    with streamed(database, what, run_id, times, order) as rows:
        if not wide:
            yield columns, rows
            return
        findings = queries.model_card(database, run_id)["findings"]
        yield {**_IMAGE, **_PERSON, **dict.fromkeys(findings, "float")}, _spread(rows, findings)


def _spread(rows: Iterator[Row], findings: Iterable[str]) -> Iterator[Row]:
    """Put an image's findings, rows that end in (finding, probability), into one row."""
    places = {finding: place for place, finding in enumerate(findings)}
    for facts, found in groupby(rows, key=lambda row: row[:-2]):
        probabilities: list[float | None] = [None] * len(places)
        for row in found:
            probabilities[places[row[-2]]] = row[-1]
        yield (*facts, *probabilities)
