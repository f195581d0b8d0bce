"""What a person may rely on who reads a run's rows in another program."""

import csv
import io
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import insert, inspect, select, text

import db.database
import jobs.export
from config.findings import FINDINGS
from db.database import Database
from db.manifests import find_or_write_findings
from db.schema.archives import manifest
from db.schema.evaluations import evaluation, evaluation_result
from jobs.export import EXPORTS, Format, What, write_csv, write_file, write_parquet
from jobs.imports import ImportOrder, import_scores

NAMES = ("b/10.png", "b/9.png", "B.png", "a b.png", "a_b.png", "ab.png", "é.png", "nothing.png")
"""Names that languages sort in other ways than bytes do; the last one has no score."""


def probability(image: int, finding: int) -> float:
    return (image * 37 + finding * 11 + 1) % 1000 / 1000


def imported(database: Database, folder: Path) -> int:
    """A run with a blank score and an image that has none."""
    folder.mkdir(exist_ok=True)
    lines = [",".join(("Image Index", *FINDINGS))]
    for image, name in enumerate(NAMES):
        cells = ["" if name == "nothing.png" else str(probability(image, finding)) for finding in range(14)]
        if name == "ab.png":
            cells[3] = ""
        lines.append(",".join((name, *cells)))
    (folder / "scores.csv").write_text("\n".join(lines), encoding="utf-8")
    (folder / "labels.csv").write_text(
        "Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,View Position,Follow-up #\n"
        "B.png,Mass,p 1,011M,F,AP,2\nab.png,No Finding,007,60,M,PA,0\n"
    )
    order = ImportOrder(folder / "scores.csv", "theirs", folder / "labels.csv")
    return import_scores(database, order).run_id


def evaluated(database: Database, run_id: int) -> None:
    """Two rows of figures, one of them without any."""
    with database.write() as connection:
        finding_id = find_or_write_findings(connection, ["Mass"])["Mass"]
        evaluation_id = connection.execute(
            insert(evaluation)
            .values(
                run_id=run_id,
                label_manifest_id=connection.execute(select(manifest.c.id)).scalars().first(),
                label_set="manifest",
                closes_run=False,
                state="done",
                evaluated_at=datetime(2025, 3, 9, 1, 2, 3, 456789, tzinfo=UTC),
            )
            .returning(evaluation.c.id)
        ).scalar_one()
        row = {"evaluation_id": evaluation_id, "finding_id": finding_id, "n_positive": 1, "n_negative": 0}
        connection.execute(
            insert(evaluation_result),
            [row | {"subgroup": "sex=F", "auroc": None}, row | {"subgroup": "all", "auroc": 0.123456789}],
        )


def exported(database: Database, run_id: int, **options: Any) -> list[list[str]]:
    stream = io.StringIO()
    count = write_csv(database, run_id, stream, **options)
    header, *rows = csv.reader(io.StringIO(stream.getvalue()))
    assert count == len(rows)
    return [header, *rows]


def frame(database: Database, run_id: int, path: Path, **options: Any) -> pd.DataFrame:
    write_parquet(database, run_id, path, **options)
    return pd.read_parquet(path)


# --- what is in an export


@pytest.mark.parametrize("what", EXPORTS)
def test_an_export_has_every_column_of_its_view(database: Database, what: What) -> None:
    there = {column["name"] for column in inspect(database.engine).get_columns(what)}
    assert set(EXPORTS[what].columns) == there


def test_rows_are_the_runs_own_ordered_by_the_bytes_of_image_and_finding(
    database: Database, tmp_path: Path
) -> None:
    imported(database, tmp_path / "another")
    run_id = imported(database, tmp_path / "this")
    header, *rows = exported(database, run_id)
    keys = [(row[header.index("image_index")], row[header.index("finding")]) for row in rows]
    expected = {(name, finding) for name in NAMES[:-1] for finding in FINDINGS}
    assert keys == sorted(expected - {("ab.png", "Infiltration")})
    assert {row[0] for row in rows} == {str(run_id)}
    for row in rows:
        image, finding = NAMES.index(row[1]), FINDINGS.index(row[header.index("finding")])
        assert row[header.index("probability")] == str(probability(image, finding))


def test_csv_leaves_unknown_fields_empty_and_keeps_identifiers_as_they_are(
    database: Database, tmp_path: Path
) -> None:
    header, *rows = exported(database, imported(database, tmp_path))
    found = {(row[1], row[header.index("finding")]): dict(zip(header, row, strict=True)) for row in rows}
    assert found["ab.png", "Mass"]["patient_id"] == "007"
    assert found["B.png", "Mass"]["label"] == "1"
    assert float(found["B.png", "Mass"]["age_years"]) == pytest.approx(11 / 12)
    assert found["B.png", "Mass"]["follow_up"] == "2"
    unknown = found["é.png", "Mass"]
    assert {unknown[name] for name in ("patient_id", "sex", "age_years", "label", "calibrated")} == {""}


def test_both_databases_export_the_same_bytes(sqlite: Database, postgresql: Database, tmp_path: Path) -> None:
    files = []
    for number, database in enumerate((sqlite, postgresql)):
        run_id = imported(database, tmp_path / "archive")
        evaluated(database, run_id)
        for what in EXPORTS:
            write_file(database, run_id, tmp_path / f"{what}.csv", "csv", what=what)
            write_file(database, run_id, tmp_path / f"{what}.parquet", "parquet", what=what)
        write_file(database, run_id, tmp_path / "wide.csv", "csv", wide=True)
        written = sorted((*tmp_path.glob("*.csv"), *tmp_path.glob("*.parquet")))
        files.append({path.name: path.read_bytes() for path in written})
        assert len(files[number]) == 2 * len(EXPORTS) + 1
    assert files[0] == files[1]


def test_failures_are_exported_with_stage_and_reason(database: Database, tmp_path: Path) -> None:
    run_id = imported(database, tmp_path)
    header, *rows = exported(database, run_id, what="failures")
    assert header[:4] == ["run_id", "image_index", "stage", "reason"]
    assert [row[:4] for row in rows] == [[str(run_id), "nothing.png", "import", "no_score"]]


def test_a_spreadsheet_computes_no_cell_where_that_is_wanted(database: Database, tmp_path: Path) -> None:
    patients = {"a.png": "=1+1", "b.png": "@sum", "c.png": "-5", "d.png": "p-1"}
    scores, labels = tmp_path / "scores.csv", tmp_path / "labels.csv"
    scores.write_text("\n".join(["Image Index,Mass", *(f"{name},0.5" for name in patients)]))
    rows = (f"{name},No Finding,{patient}" for name, patient in patients.items())
    labels.write_text("\n".join(["Image Index,Finding Labels,Patient ID", *rows]))
    run_id = import_scores(database, ImportOrder(scores, "theirs", labels)).run_id

    def column(**options: Any) -> list[str]:
        header, *found = exported(database, run_id, **options)
        return [row[header.index("patient_id")] for row in found]

    assert column() == ["=1+1", "@sum", "-5", "p-1"]
    assert column(for_spreadsheet=True) == ["'=1+1", "'@sum", "-5", "p-1"]


def test_times_are_utc_in_both_formats(database: Database, tmp_path: Path) -> None:
    run_id = imported(database, tmp_path)
    evaluated(database, run_id)
    header, *rows = exported(database, run_id, what="auc")
    assert [row[header.index("subgroup")] for row in rows] == ["all", "sex=F"]
    assert rows[0][header.index("evaluated_at")] == "2025-03-09T01:02:03.456789+00:00"
    assert [row[header.index("auroc")] for row in rows] == ["0.123456789", ""]
    figures = frame(database, run_id, tmp_path / "auc.parquet", what="auc")
    assert figures["evaluated_at"][0] == pd.Timestamp("2025-03-09 01:02:03.456789", tz="UTC")


# --- Parquet


def test_parquet_keeps_the_types_of_the_columns(database: Database, tmp_path: Path) -> None:
    write_parquet(database, imported(database, tmp_path), tmp_path / "scores.parquet")
    schema = pq.read_schema(tmp_path / "scores.parquet")
    assert schema.field("probability").type == pa.float32()
    assert schema.field("label").type == pa.int8()
    assert schema.field("patient_id").type == pa.string()
    assert pa.types.is_dictionary(schema.field("finding").type)


def test_parquet_and_csv_hold_the_same_values(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.export, "AT_ONCE", 10)  # several row groups
    run_id = imported(database, tmp_path)
    for wide in (False, True):
        read = frame(database, run_id, tmp_path / "scores.parquet", wide=wide)
        (tmp_path / "scores.csv").write_text(
            "\n".join(",".join(row) for row in exported(database, run_id, wide=wide))
        )
        types = {name: read[name].dtype for name in read.columns if read[name].dtype.kind in "fO"}
        again = pd.read_csv(tmp_path / "scores.csv", dtype=types | {"patient_id": "str"})
        pd.testing.assert_frame_equal(read, again, check_dtype=False, check_categorical=False)
    with pq.ParquetFile(tmp_path / "scores.parquet") as file:
        assert file.metadata.num_rows == len(NAMES) - 1


# --- the wide layout


def test_wide_layout_has_a_row_an_image_and_a_column_a_finding_in_the_models_order(
    database: Database, tmp_path: Path
) -> None:
    header, *rows = exported(database, imported(database, tmp_path), wide=True)
    assert header[-14:] == list(FINDINGS)
    assert [row[1] for row in rows] == sorted(NAMES[:-1])
    found = {row[1]: dict(zip(header, row, strict=True)) for row in rows}
    assert found["ab.png"]["Infiltration"] == ""
    assert found["ab.png"]["Hernia"] == str(probability(5, 13))
    assert found["B.png"]["view_position"] == "AP"


# --- nothing, and things that go wrong


@pytest.mark.parametrize("what", EXPORTS)
def test_an_export_of_no_rows_still_has_its_columns(database: Database, tmp_path: Path, what: What) -> None:
    assert exported(database, 1, what=what) == [list(EXPORTS[what].columns)]
    empty = frame(database, 1, tmp_path / "empty.parquet", what=what)
    assert list(empty.columns) == list(EXPORTS[what].columns)
    assert empty.empty


def stop(_: int) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_broken_off_export_leaves_the_file_that_was_there_and_no_other(
    database: Database, tmp_path: Path, kind: Format
) -> None:
    run_id = imported(database, tmp_path / "archive")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / f"scores.{kind}").write_text("last night's")
    with pytest.raises(KeyboardInterrupt):
        write_file(database, run_id, folder / f"scores.{kind}", kind, progress=stop)
    assert [path.read_text() for path in folder.iterdir()] == ["last night's"]
    write_file(database, run_id, folder / f"scores.{kind}", kind)
    assert [path.name for path in folder.iterdir()] == [f"scores.{kind}"]
    assert (folder / f"scores.{kind}").stat().st_size > 100


def test_a_reader_that_stands_still_is_not_cut_off(
    ready_postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db.database, "IDLE_TRANSACTION_MS", 100)
    monkeypatch.setattr(jobs.export, "AT_ONCE", 40)
    database = Database(ready_postgresql_url)
    run_id = imported(database, tmp_path)
    with database.read() as connection:
        limit = connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one()
    assert limit == "100ms"
    stream = io.StringIO()
    # The pager's user reads a page; standing still is what this is about, so there is nothing to wait for.
    assert write_csv(database, run_id, stream, progress=lambda _: time.sleep(0.3)) == 97
    database.dispose()


def test_an_export_is_not_put_in_the_place_of_a_pipe(sqlite: Database, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="device or a pipe"):
        write_file(sqlite, 1, pipe, "csv")
    assert pipe.is_fifo()
