"""The rows of a run as a file for other programs: the way out of SQL, to CSV or Parquet."""

import csv
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import IO, Annotated, Any, Final, Literal
from uuid import uuid4

import numpy as np
import typer
from sqlalchemy import Select, collate, column, select, table

from db import queries
from db.database import Database
from db.schema.base import UtcDateTime
from jobs.commands.app import PANEL_ASK, RunArgument, app, ready
from jobs.console import EXIT_INCOMPLETE, EXIT_USAGE, err, fail, out

Format = Literal["csv", "parquet"]
What = Literal["scores", "failures", "heatmaps", "auc"]
Row = tuple[Any, ...]

_ROWS: Final = 16_384
"""Rows that are in memory at a time, and in a row group of a Parquet file."""

_SORT_KIB: Final = 8_192
"""SQLite sorts in memory up to the size of its cache, and on the disk beyond."""

_IMAGE: Final = {"run_id": "int32", "image_index": "string"}
_NAMED: Final = {"finding": "word"}


@dataclass(frozen=True, slots=True)
class Export:
    """What of a view is exported: its columns with their types, and what the rows are ordered by.

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

EXPORTS: Final[Mapping[str, Export]] = {
    "scores": Export(
        {
            **_IMAGE,
            **_PERSON,
            **_NAMED,
            "probability": "float",
            "label": "int8",
            "threshold": "double",
            "calibrated": "float",
        },
        ("image_index", "finding"),
    ),
    "failures": Export({**_IMAGE, "stage": "word", "reason": "word", "message": "string"}, ("image_index",)),
    "heatmaps": Export(
        {
            **_IMAGE,
            **_NAMED,
            "probability": "float",
            "threshold": "double",
            **dict.fromkeys(("peak_x", "peak_y", "box_x", "box_y", "box_width", "box_height"), "int32"),
            **dict.fromkeys(("image_width", "image_height"), "int32"),
            "overlay_path": "string",
        },
        ("image_index", "finding"),
    ),
    "auc": Export(
        {
            "run_id": "int32",
            "evaluation_id": "int32",
            "evaluated_at": "time",
            **dict.fromkeys(("label_set", "subgroup", "finding"), "word"),
            **dict.fromkeys(("n_positive", "n_negative"), "int32"),
            **dict.fromkeys(
                (
                    *("auroc", "ci_low", "ci_high", "bootstrap_low", "bootstrap_high", "average_precision"),
                    *("threshold", "sensitivity", "specificity", "ppv", "npv", "f1"),
                    *("brier", "calibration_error", "platt_slope", "platt_intercept"),
                ),
                "double",
            ),
            "reason": "string",
            **dict.fromkeys(("model", "model_sha256"), "word"),
        },
        ("evaluation_id", "subgroup", "finding"),
    ),
}


@app.command(rich_help_panel=PANEL_ASK)
def export(
    run: RunArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write, .csv or .parquet; - is standard output.")
    ],
    format_: Annotated[Format, typer.Option("--format", help="Parquet keeps the columns' types.")] = "csv",
    what: Annotated[What, typer.Option(help="The view whose rows are written.")] = "scores",
    wide: Annotated[
        bool, typer.Option("--wide", help="One row an image, with a column of probabilities a finding.")
    ] = False,
) -> None:
    """Write a run's rows to a file, ordered by image and finding, in little memory however many they are.

    A file that is there already is replaced once the new one is whole.

    Example: nightread export 7 --format parquet -o scores.parquet

    Example: nightread export 7 --wide -o - | head
    """
    to_stdout = str(output) == "-"
    if wide and what != "scores":
        fail(f"--wide is for scores; {what} have rows of their own", EXIT_USAGE)
    if not to_stdout:
        _require_writable(output, format_)
    elif format_ != "csv":
        fail("-o -: Parquet cannot go to standard output; name a file, or take --format csv", EXIT_USAGE)
    _, database = ready()
    progress = queries.progress(database, run)
    if not progress.settled:
        err.print(f"run {run} is {progress.status}: these are its rows so far", highlight=False)
    with err.status(f"exporting {what}") as status:

        def told(rows: int) -> None:
            status.update(f"exporting {what}: {rows:,} rows")

        if to_stdout:
            with open(sys.stdout.fileno(), "w", encoding="utf-8", newline="", closefd=False) as stream:
                write_csv(database, run, stream, what=what, wide=wide, told=told)
            return
        try:
            count = write_file(database, run, output, format_, what=what, wide=wide, told=told)
        except OSError as error:
            fail(f"{output} cannot be written: {error.strerror or error}", EXIT_INCOMPLETE)
    out.print(f"wrote {output}: {count:,} rows", highlight=False, soft_wrap=True)


def _require_writable(output: Path, format_: Format) -> None:
    if output.suffix.lower() != f".{format_}":
        fail(f"{output}: with --format {format_} the file's name must end in .{format_}", EXIT_USAGE)
    if not output.parent.is_dir():
        fail(f"{output}: there is no folder {output.parent}; make it first", EXIT_USAGE)
    if output.exists() and not output.is_file():
        fail(f"{output} is there and no file; name another", EXIT_USAGE)


def write_file(
    database: Database,
    run_id: int,
    output: Path,
    format_: Format,
    *,
    what: What = "scores",
    wide: bool = False,
    told: Callable[[int], None] = lambda _: None,
) -> int:
    """Write a run's rows to a file that is there once it is whole; gives their number.

    `told` hears the number of rows so far. Raises OSError where the file cannot be written.
    """
    beside = output.with_name(f".{output.name}.{uuid4().hex[:8]}")  # a rename within a folder is one step
    try:
        if format_ == "parquet":
            count = write_parquet(database, run_id, beside, what=what, wide=wide, told=told)
        else:
            with beside.open("w", encoding="utf-8", newline="") as stream:
                count = write_csv(database, run_id, stream, what=what, wide=wide, told=told)
        beside.replace(output)
    finally:
        beside.unlink(missing_ok=True)
    return count


def write_csv(
    database: Database,
    run_id: int,
    stream: IO[str],
    *,
    what: What = "scores",
    wide: bool = False,
    told: Callable[[int], None] = lambda _: None,
) -> int:
    """Write a run's rows as CSV with a header; gives their number.

    NULL is an empty field, a moment ISO 8601 in UTC, a probability the shortest decimal that is read back as
    the same single-precision number.
    """
    writer = csv.writer(stream, lineterminator="\n")
    count = 0
    with _opened(database, run_id, what, wide=wide) as (columns, rows):
        writer.writerow(columns)
        single = [index for index, kind in enumerate(columns.values()) if kind == "float"]
        times = [index for index, kind in enumerate(columns.values()) if kind == "time"]
        for chunk in _chunks(rows):
            writer.writerows(_as_text(row, single, times) for row in chunk)
            count += len(chunk)
            told(count)
    return count


def _as_text(row: Row, single: Iterable[int], times: Iterable[int]) -> list[Any]:
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
    told: Callable[[int], None] = lambda _: None,
) -> int:
    """Write a run's rows as Parquet with typed columns, a row group at a time; gives their number."""
    import pyarrow as pa  # noqa: PLC0415  # most commands do without
    from pyarrow.parquet import ParquetWriter  # noqa: PLC0415

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
                told(count)
    return count


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(islice(rows, _ROWS)):
        yield chunk


@contextmanager
def _opened(
    database: Database, run_id: int, what: What, *, wide: bool
) -> Iterator[tuple[Mapping[str, str], Iterator[Row]]]:
    """Give the columns' types and a stream of the rows, all of one moment."""
    columns, order = EXPORTS[what].columns, EXPORTS[what].order
    if wide:
        columns = {**_IMAGE, **_PERSON, **_NAMED, "probability": "float"}
    with database.read() as connection:
        if database.dialect == "postgresql":
            # A pager reads as slowly as it likes; nobody waits for a transaction that only reads.
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        else:
            connection.exec_driver_sql(f"PRAGMA cache_size=-{_SORT_KIB}")
        query = _query(what, run_id, columns, order, "C" if database.dialect == "postgresql" else "BINARY")
        rows: Iterator[Any] = iter(connection.execution_options(yield_per=_ROWS).execute(query))
        if not wide:
            yield columns, rows
            return
        findings = queries.model_card(database, run_id)["findings"]
        yield {**_IMAGE, **_PERSON, **dict.fromkeys(findings, "float")}, _spread(rows, findings)


def _query(
    what: What, run_id: int, columns: Mapping[str, str], order: Iterable[str], collation: str
) -> Select[Any]:
    chosen = {
        name: column(name, UtcDateTime) if kind == "time" else column(name) for name, kind in columns.items()
    }
    # By the bytes of the names, so that both databases give the same file wherever they run.
    keys = [chosen[name] if name.endswith("_id") else collate(chosen[name], collation) for name in order]
    view = table(what, *chosen.values())
    return select(*view.c).where(view.c.run_id == run_id).order_by(*keys)


def _spread(rows: Iterator[Row], findings: Iterable[str]) -> Iterator[Row]:
    """Put an image's findings, rows that end in (finding, probability), into one row."""
    places = {finding: place for place, finding in enumerate(findings)}
    for facts, found in groupby(rows, key=lambda row: row[:-2]):
        probabilities: list[float | None] = [None] * len(places)
        for row in found:
            probabilities[places[row[-2]]] = row[-1]
        yield (*facts, *probabilities)
