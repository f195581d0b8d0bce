"""Tables are joined by what identifies a row in both."""

from pathlib import Path
from typing import Any

import pytest
from object_store import Bucket
from support import Nightread

from jobs.tables.errors import TableError
from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions


def joined(folder: Path, first: str, second: str, name: str = "more.csv", **options: Any) -> Manifest:
    (folder / "m.csv").write_text(first, encoding="utf-8")
    (folder / name).write_text(second, encoding="utf-8")
    return Manifest(folder / "m.csv", ReadOptions(join=(folder / name,), **options))


def test_a_table_in_a_bucket_is_joined_and_a_manifest_of_it_is_the_same(
    nightread: Nightread, bucket: Bucket, tmp_path: Path
) -> None:
    (tmp_path / "m.csv").write_text("Image,study_id\na.png,1\nb.png,2\n", encoding="utf-8")
    labels = b"study_id,Mass\n1,1\n2,0\n"
    (tmp_path / "labels.csv").write_bytes(labels)
    bucket.put("labels.csv", labels)
    for place in (tmp_path / "labels.csv", f"{bucket.uri}/labels.csv"):
        done = nightread.call(
            *("submit", tmp_path / "m.csv", "--images", tmp_path, "--model", "stub", "--join", place)
        )
        assert done.returncode == 0, done.stderr
    rows = nightread.sql("SELECT DISTINCT manifest_id FROM run")
    assert len(rows) == 1
    gone = nightread.call(
        *("submit", tmp_path / "m.csv", "--images", tmp_path, "--join", f"{bucket.uri}/gone.csv")
    )
    assert gone.returncode == 2
    assert f"{bucket.uri}/gone.csv: there is no such object" in " ".join(gone.stderr.split())


def test_tables_of_any_set_are_joined(tmp_path: Path) -> None:
    manifest = joined(tmp_path, "Image,Age\na.png,3\nb.png,4\n", "Image,Mass,Age\nb.png,1,9\na.png,0,9\n")
    assert [(row.labels, row.age_years) for row in manifest] == [("0", 3.0), ("1", 4.0)]
    assert "columns of more.csv that are there already, not used: 'Age'" in manifest.reading.remarks


def test_identifiers_that_a_program_has_made_floats_are_the_same(tmp_path: Path) -> None:
    manifest = joined(tmp_path, "Image,study_id\na.png,12\n", "study_id,Mass\n12.0,1\n")
    assert [row.labels for row in manifest] == ["1"]


def test_rows_without_anything_are_unknown_and_counted(tmp_path: Path) -> None:
    manifest = joined(tmp_path, "Image\na.png\nb.png\n", "Image,Mass\na.png,1\n")
    assert [row.labels for row in manifest] == ["1", "-"]
    assert "rows without anything in more.csv, its columns left blank: 1" in manifest.reading.remarks


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        ("Image,Mass\nz.png,1\n", r"no row has anything in more\.csv by Image"),
        ("Picture,Mass\na.png,1\n", r"no column of more\.csv identifies a row here"),
        ("Image,Mass\na.png,1\na.png,0\n", r"more\.csv, line 3: a second row for the same Image differs"),
        ("Image,Mass\na.png\n", r"more\.csv, line 2: the number of fields is 1, in the header 2"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, second: str, problem: str) -> None:
    with pytest.raises(TableError, match=problem):
        joined(tmp_path, "Image\na.png\nb.png\n", second)


def test_a_list_of_none_of_the_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"no image is in the list test\.txt"):
        joined(tmp_path, "Image,Age\na.png,3\n", "z.png\n", "test.txt")


def test_a_split_that_is_not_there_is_refused(tmp_path: Path) -> None:
    content = "Image,split\na.png,train\nb.png,validate\n"
    with pytest.raises(TableError, match=r"--split test: no row is of it\. There are train, validate"):
        joined(tmp_path, content, "Image,Mass\na.png,1\n", split="test")
    with pytest.raises(TableError, match=r"--split test: no column is 'split'"):
        joined(tmp_path, "Image\na.png\n", "Image,Mass\na.png,1\n", split="test")


def test_the_joined_files_belong_to_the_fingerprint_and_their_paths_do_not(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    first = "Image\na.png\n"
    one, other, moved = (
        joined(folder, first, f"Image,Mass\na.png,{label}\n").fingerprint()
        for folder, label in ((tmp_path, 1), (tmp_path, 0), (tmp_path / "x", 0))
    )
    assert one != other == moved


def test_a_bad_cell_names_the_file_that_it_was_joined_from(tmp_path: Path) -> None:
    with pytest.raises(
        TableError, match=r"m\.csv, line 3, column 'Mass': label '2' .*joined from more\.csv\)"
    ):
        list(joined(tmp_path, "Image\na.png\nb.png\n", "Image,Mass\nb.png,2\n"))
