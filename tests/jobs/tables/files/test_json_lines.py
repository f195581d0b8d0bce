"""JSON lines give the rows that the same table gives as CSV."""

import gzip
import json
from pathlib import Path

import pytest

from jobs.tables.errors import TableError
from jobs.tables.manifest import Manifest

OBJECTS = (
    {"image": "a.png", "patient": 1, "Mass": 1.0, "Effusion": None, "age": 58.5},
    {"patient": 2, "image": "b.png", "Mass": 0.0},
)


def written(path: Path, *objects: object) -> Path:
    content = "\n\n".join(json.dumps(each) if isinstance(each, dict) else str(each) for each in objects)
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return path


@pytest.mark.parametrize("name", ["m.json", "m.jsonl.gz"])
def test_objects_are_rows_in_any_order_of_their_keys(tmp_path: Path, name: str) -> None:
    manifest = Manifest(written(tmp_path / name, *OBJECTS))
    assert [(row.image_index, row.patient_id, row.age_years) for row in manifest] == [
        ("a.png", "1", 58.5),
        ("b.png", "2", None),
    ]
    assert [row.labels for row in manifest] == ["-1", "-0"]
    assert manifest.reading.remarks[0] == "the file is read as JSON lines"


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        ({"image": "c.png", "Mass": 7}, "Mass", "label '7'"),
        ({"image": "c.png", "Nodule": 1}, "Nodule", "does not have this key"),
        ("[1]", None, "no JSON object"),
        ('{"image": "c.png"', None, "no JSON"),
        ("{" * 100_000, None, "no JSON"),
    ],
)
def test_errors_name_the_line_and_the_key(
    tmp_path: Path, line: object, column: str | None, words: str
) -> None:
    path = written(tmp_path / "m.json", *OBJECTS, line)
    with pytest.raises(TableError) as caught:
        list(Manifest(path))
    assert (caught.value.line, caught.value.column) == (5, column)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
