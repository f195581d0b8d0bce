"""A manifest of volumes: which columns are recognised, and what is refused with its place."""

import json
from pathlib import Path

import pytest

from jobs.tables.errors import TableError
from jobs.tables.manifest import Manifest
from jobs.tables.reading import reading_lines

CHANNELS = ("FLAIR", "T1", "T1Gd", "T2")


def read(folder: Path, text: str) -> Manifest:
    path = folder / "cases.csv"
    path.write_text(text, encoding="utf-8")
    return Manifest(path, channels=CHANNELS, findings=("edema",), root="/archive")


def test_a_column_per_sequence_is_recognised_by_its_usual_names(tmp_path: Path) -> None:
    manifest = read(
        tmp_path, "case,t1n,t1c,t2w,t2f,seg,PatientId\n1,a1.nii,ac.nii,a2.nii,/archive/af.nii,,p1\n"
    )
    (row,) = manifest
    assert row.image_index == "af.nii"
    assert row.patient_id == "p1"
    assert json.loads(row.files or "") == {
        "FLAIR": "af.nii",
        "T1": "a1.nii",
        "T1Gd": "ac.nii",
        "T2": "a2.nii",
    }
    assert manifest.labelled
    assert list(manifest.names()) == ["af.nii"]
    assert "labels: volumes from 'seg'" in reading_lines(manifest.path, manifest.reading)


def test_the_name_of_a_folder_is_the_same_with_and_without_its_slash(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "FLAIR,T1,T1Gd,T2\np1/flair/,p1/t1,p1/t1gd/,/archive/p1/t2/\n")
    assert row.image_index == "p1/flair"
    assert json.loads(row.files or "") == {
        "FLAIR": "p1/flair",
        "T1": "p1/t1",
        "T1Gd": "p1/t1gd",
        "T2": "p1/t2",
    }
    with pytest.raises(TableError, match="was already on line 2"):
        list(read(tmp_path, "Image\np1/all\np1/all/\n"))


def test_one_file_of_all_channels_needs_no_more_columns(tmp_path: Path) -> None:
    manifest = read(tmp_path, "Image\na.nii.gz\nb.nii.gz\n")
    assert [(row.image_index, row.files) for row in manifest] == [("a.nii.gz", None), ("b.nii.gz", None)]
    assert not manifest.labelled


def test_a_list_of_volumes_needs_no_header(tmp_path: Path) -> None:
    assert [row.image_index for row in read(tmp_path, "a.nii.gz\nb.nii\n")] == ["a.nii.gz", "b.nii"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FLAIR,T1\na.nii,b.nii\n", "there is no column for T1Gd, T2"),
        ("FLAIR,T1,T1Gd,T2\na.nii,b.nii,,d.nii\n", "line 2, column 'T1Gd'"),
        ("Image,Label\na.nii,\x01.nii\n", "control character"),
    ],
)
def test_what_cannot_be_a_case_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TableError) as caught:
        list(read(tmp_path, text))
    assert said in str(caught.value)
