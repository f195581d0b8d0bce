"""`submit FOLDER`: a manifest is made, kept and said, and what is committed is its rows."""

import csv
import json
from pathlib import Path

import pytest
from films import PATIENT, write_directory, write_film
from picture_support import PLAIN
from support import Nightread

STUB = ("--model", "stub")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    for number in range(9):
        write_film(
            folder / f"day-{number % 2}" / f"IM{number}",
            ViewPosition=("PA", "AP", "LL")[number % 3],
            PatientID=f"MRN-{number // 2}",
        )
    (folder / "notes.txt").write_text("nothing")
    return folder


def test_a_folder_is_listed_and_committed_and_all_of_it_is_accounted_for(
    nightread: Nightread, archive: Path
) -> None:
    done = nightread.call("submit", archive, *STUB, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    folder = told["folder"]
    assert (folder["found"], folder["kept"]) == (10, 6)
    assert folder["skipped"] == {"lateral": 3, "not_a_picture": 1}
    assert "10 files found: 6 kept, 4 skipped" in done.stderr
    assert f"its manifest: {folder['manifest']}; what is not in it: {folder['skipped_files']}" in done.stderr
    assert Path(folder["manifest"]).parent == nightread.home / "manifests"
    with Path(folder["skipped_files"]).open(encoding="utf-8") as file:
        assert [row["Reason"] for row in csv.DictReader(file)] == [*["lateral"] * 3, "not_a_picture"]
    (manifest,) = nightread.sql("SELECT rows, path FROM manifest")
    assert manifest == {"rows": 6, "path": folder["manifest"]}
    rows = nightread.sql(
        "SELECT image_index, patient_id, view_position, sex, age_years FROM manifest_row "
        "JOIN image ON image.id = image_id ORDER BY row_number"
    )
    assert [row["image_index"] for row in rows] == [
        *("day-0/IM0", "day-0/IM4", "day-0/IM6"),
        *("day-1/IM1", "day-1/IM3", "day-1/IM7"),
    ]
    assert [row["view_position"] for row in rows] == ["PA", "AP", "PA", "AP", "PA", "AP"]
    assert {(row["sex"], row["age_years"]) for row in rows} == {("F", 60.0)}
    patients = [row["patient_id"] for row in rows]
    # Two films of patient 0, two of patient 3: one patient is one patient, under another name.
    assert (patients[0] == patients[3], patients[2] == patients[5]) == (True, True)
    assert len(set(patients)) == 4
    assert "MRN" not in str(patients)


def test_the_same_folder_is_the_same_manifest_again(nightread: Nightread, archive: Path) -> None:
    first, second = (json.loads(nightread.call("submit", archive, *STUB, "--json").stdout) for _ in range(2))
    assert first["folder"] == second["folder"]
    write_film(archive / "new")
    third = json.loads(nightread.call("submit", archive, *STUB, "--json").stdout)
    assert third["folder"]["kept"] == first["folder"]["kept"] + 1
    assert third["folder"]["manifest"] != first["folder"]["manifest"]


def test_laterals_are_scored_where_all_views_are_wanted(nightread: Nightread, archive: Path) -> None:
    done = nightread.call("submit", archive, *STUB, "--json", "--view", "all")
    assert json.loads(done.stdout)["folder"]["kept"] == 9


def test_a_folder_of_pictures_without_tags_is_scored(nightread: Nightread, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "b"):
        (tmp_path / "pictures" / name).write_bytes(PLAIN)
    done = nightread.call("submit", tmp_path / "pictures", *STUB, "--json")
    assert json.loads(done.stdout)["folder"]["kept"] == 2
    assert not (nightread.home / "pseudonym.key").exists()


def test_what_a_dicomdir_names_is_scored_from_its_folder(nightread: Nightread, archive: Path) -> None:
    path = write_directory(archive / "DICOMDIR", ["day-0", "IM0"], ["day-1", "IM1"], ["day-0", "IM2"])
    done = nightread.call("submit", path, *STUB, "--json", "--images", archive)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["folder"]["skipped"] == {"lateral": 1}
    names = nightread.sql(
        "SELECT image_index, root FROM image JOIN archive ON archive.id = archive_id ORDER BY 1"
    )
    assert names == [{"image_index": name, "root": str(archive)} for name in ("day-0/IM0", "day-1/IM1")]


@pytest.mark.processes
def test_score_tells_a_program_what_was_found_what_was_read_and_how_it_ended(
    nightread: Nightread, archive: Path
) -> None:
    nightread.environment["NIGHTREAD_CHILDREN"] = "1"
    done = nightread.run("score", archive, *STUB, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["run_id"], told["status"], told["scored"], told["failed"]) == (1, "complete", 6, 0)
    assert told["folder"]["skipped"] == {"lateral": 3, "not_a_picture": 1}
    assert told["reading"]["layout"] == "the manifest of a folder"
    assert {row["reason"] for row in told["auc"]} == {"no labelled image"}
    assert (told["failure_reasons"], told["remarks"]) == ([], [])
    assert "its manifest: " in done.stderr
    assert "run 1: complete" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("archive", "--images", "elsewhere"), "leave it out"),
        (("archive", "--model", "gone"), "there is no model 'gone'"),
        (("empty",), "none of its files is a frontal radiograph"),
        (("table.csv",), "Invalid value for --images"),
        (("gone",), "Invalid value for --images"),
        (("archive/DICOMDIR",), "cannot be read"),
    ],
)
@pytest.mark.usefixtures("archive")
def test_what_cannot_be_scored_is_refused(
    nightread: Nightread, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").write_text("Image\na.png\n")
    refused = nightread.call("submit", tmp_path / arguments[0], *STUB, *arguments[1:])
    assert refused.returncode == 2
    assert says in " ".join(refused.stderr.replace("│", " ").split())
    assert "Traceback" not in refused.stderr
    assert not nightread.sql("SELECT run_id FROM progress")
    assert PATIENT["PatientName"] not in refused.stderr
