"""Parquet gives the rows that the same table gives as CSV, whatever the types of its columns."""

import gzip
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.tables.errors import TableError
from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions

COLUMNS = {
    "Image": pa.array(["a.png", "b.png", "c.png"]),
    "Patient ID": pa.array([1, 17, 2], pa.int64()),
    "Age": pa.array([58.5, float("nan"), None]),
    "Mass": pa.array([1.0, None, 0.0], pa.float32()),
    "Nodule": pa.array([True, None, False]),
    "Finding Labels": pa.array([["Hernia", "Mass", "Nodule"], [], ["No Finding"]]),
    "Read on": pa.array([0, 1, None], pa.timestamp("ns")),
    "View Position": pa.array(["PA", "AP", "PA"]).dictionary_encode(),
}


def refused(path: Path, **options: object) -> TableError:
    with pytest.raises(TableError) as caught:
        list(Manifest(path, ReadOptions.model_validate(options)))
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.parquet"


def test_columns_of_all_types_are_read_and_the_kind_of_file_is_said(path: Path) -> None:
    pq.write_table(pa.table(COLUMNS), path)
    manifest = Manifest(path)
    rows = [(row.image_index, row.patient_id, row.age_years, row.view_position) for row in manifest]
    assert rows == [("a.png", "1", 58.5, "PA"), ("b.png", "17", None, "AP"), ("c.png", "2", None, "PA")]
    labels = [dict(zip(manifest.findings, row.labels or "", strict=False)) for row in manifest]
    assert [found.get("Mass") for found in labels] == ["1", "-", "0"]
    assert [found.get("Hernia") for found in labels] == ["1", "-", "0"]
    assert manifest.reading.remarks[0] == "the file is read as Parquet"


def test_a_frame_of_pandas_gives_the_rows_of_its_csv(path: Path) -> None:
    csv = path.with_suffix(".csv")
    frame = pd.DataFrame({"Image": ["a.png", "b.png"], "Patient ID": ["0001", "2"], "Mass": [1.0, None]})
    frame.to_parquet(path)
    frame.to_csv(csv)
    assert list(Manifest(path)) == list(Manifest(csv))


def test_columns_of_bytes_and_structures_are_said_to_be_left_out(path: Path) -> None:
    pictures = pa.array([{"bytes": b"x", "path": "a"}] * 3)
    pq.write_table(pa.table({**COLUMNS, "picture": pictures, "raw": pa.array([b"1"] * 3)}), path)
    manifest = Manifest(path)
    assert "columns without text, not used: 'picture', 'raw'" in manifest.reading.remarks
    assert len(list(manifest)) == 3


def test_errors_name_the_row_from_one_and_the_column(path: Path) -> None:
    pq.write_table(pa.table({**COLUMNS, "Mass": pa.array([1, None, 7])}), path, row_group_size=1)
    error = refused(path)
    assert (error.line, error.column) == (3, "Mass")
    assert "m.parquet, row 3, column 'Mass': label '7'" in str(error)
    pq.write_table(pa.table({"File": ["a"], "file name": ["b"], "x": ["c"]}), path)
    assert "m.parquet: there is no column 'Image'" in str(refused(path, image_column="Image"))


def test_a_damaged_or_compressed_file_is_refused_in_one_line(path: Path) -> None:
    path.write_bytes(b"PAR1 and no more")
    assert "no Parquet file that can be read" in str(refused(path))
    packed = path.with_suffix(".parquet.gz")
    pq.write_table(pa.table(COLUMNS), path)
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert "Unpack it first" in str(refused(packed))
