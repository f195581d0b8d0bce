"""`nightread manifest`: two files that are all files, written whole and never over others."""

import csv
from pathlib import Path

import numpy as np
import pytest
from films import PATIENT, write_film
from series_support import PATIENT_ID, uid_of, write_series
from support import Nightread


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    for number in range(6):
        write_film(folder / f"IM{number}", ViewPosition=("PA", "AP", "LL")[number % 3])
    (folder / "notes.txt").write_text("nothing")
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_becomes_a_manifest_and_a_list_of_what_is_not_in_it(
    nightread: Nightread, archive: Path, tmp_path: Path
) -> None:
    done = nightread.call("manifest", archive, "-o", tmp_path / "films.csv")
    assert done.returncode == 0, done.stderr
    assert [row["Image Index"] for row in rows(tmp_path / "films.csv")] == ["IM0", "IM1", "IM3", "IM4"]
    skipped = {row["File"]: row["Reason"] for row in rows(tmp_path / "films.skipped.csv")}
    assert skipped == {"IM2": "lateral", "IM5": "lateral", "notes.txt": "not_a_picture"}
    assert "7 files found: 4 kept, 3 skipped" in done.stderr
    assert "skipped: 2 lateral, 1 not_a_picture" in done.stderr
    assert f"to score it: nightread score {tmp_path}/films.csv --images {archive}" in done.stdout


def test_laterals_are_kept_where_all_views_are_wanted(
    nightread: Nightread, archive: Path, tmp_path: Path
) -> None:
    assert nightread.call("manifest", archive, "-o", tmp_path / "m.csv", "--view", "all").returncode == 0
    assert [row["View Position"] for row in rows(tmp_path / "m.csv")] == ["PA", "AP", "LATERAL"] * 2


def test_films_with_text_in_their_pixels_are_noted_and_passed_over_where_told(
    nightread: Nightread, tmp_path: Path
) -> None:
    for name, said in (("marked", "YES"), ("clean", "NO"), ("silent", None), ("odd", "SEEDED^PATIENT")):
        write_film(tmp_path / "archive" / name, BurnedInAnnotation=said)
    noted = nightread.call("manifest", tmp_path / "archive", "-o", tmp_path / "all.csv")
    assert noted.returncode == 0, noted.stderr
    found = {row["Image Index"]: row["Burned In Annotation"] for row in rows(tmp_path / "all.csv")}
    assert found == {"clean": "NO", "marked": "YES", "odd": "", "silent": ""}
    assert "1 films say that text is burned into their pixels" in noted.stderr.replace("\n", " ")
    without = nightread.call(
        "manifest", tmp_path / "archive", "-o", tmp_path / "some.csv", "--skip-burned-in"
    )
    assert without.returncode == 0, without.stderr
    assert {row["Image Index"] for row in rows(tmp_path / "some.csv")} == {"clean", "odd", "silent"}
    skipped = {row["File"]: row["Reason"] for row in rows(tmp_path / "some.skipped.csv")}
    assert skipped == {"marked": "burned_in"}
    assert "burned into" not in without.stderr


def test_a_file_that_is_there_is_not_replaced_unless_told(
    nightread: Nightread, archive: Path, tmp_path: Path
) -> None:
    manifest, skipped = tmp_path / "m.csv", tmp_path / "s.csv"
    order = ("manifest", archive, "-o", manifest, "--skipped", skipped)
    for there in (manifest, skipped):
        there.write_text("mine")
        refused = nightread.call(*order)
        assert refused.returncode == 2
        assert f"{there} is there already" in refused.stderr
        assert there.read_text() == "mine"
        assert sorted(tmp_path.glob("*.csv")) == [there]
        there.unlink()
    manifest.write_text("mine")
    assert nightread.call(*order, "--force").returncode == 0
    assert len(rows(manifest)) == 4


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("m.txt", "must end in .csv"),
        ("nowhere/m.csv", "there is no folder"),
        ("folder.csv", "is there already"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_refused_first(
    nightread: Nightread, tmp_path: Path, output: str, says: str
) -> None:
    (tmp_path / "folder.csv").mkdir()
    refused = nightread.call("manifest", tmp_path / "gone", "-o", tmp_path / output)
    assert refused.returncode == 2
    assert says in refused.stderr


def test_a_folder_without_films_ends_with_2_and_says_why(nightread: Nightread, tmp_path: Path) -> None:
    write_film(tmp_path / "archive" / "IM", Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    done = nightread.call("manifest", tmp_path / "archive", "-o", tmp_path / "m.csv")
    assert done.returncode == 2
    assert "none of its files is a frontal radiograph" in done.stderr
    assert "1 other_modality (1 CT)" in done.stderr
    assert not (tmp_path / "m.csv").exists()
    assert rows(tmp_path / "m.skipped.csv") == [{"File": "IM", "Reason": "other_modality", "Modality": "CT"}]


@pytest.mark.parametrize("folder", ["gone", "file"])
def test_a_path_that_is_no_folder_is_one_line(nightread: Nightread, tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("hello")
    done = nightread.call("manifest", tmp_path / folder, "-o", tmp_path / "m.csv")
    assert done.returncode == 2
    assert str(tmp_path / folder) in done.stderr
    assert "Traceback" not in done.stderr
    assert not [*tmp_path.glob("*.csv")]


def test_patients_are_pseudonyms_unless_told(nightread: Nightread, archive: Path, tmp_path: Path) -> None:
    seen: dict[str, set[str]] = {}
    for told in ((), ("--patient-id", "keep"), ("--patient-id", "none"), ("--uid", "hash")):
        path = tmp_path / f"{'-'.join(('m', *told))}.csv"
        assert nightread.call("manifest", archive, "-o", path, *told).returncode == 0
        seen["".join(told[1:])] = {row["Patient ID"] for row in rows(path)}
        uids = {row["Study Instance UID"] for row in rows(path)}
        assert (uids == {"1.2.3"}) == ("--uid" not in told)
    assert seen["keep"] == {PATIENT["PatientID"]}
    assert seen["none"] == {""}
    (pseudonym,) = seen[""]
    assert pseudonym.startswith("p")
    assert seen["hash"] == {pseudonym}  # the same in every run
    assert not any(value in path.read_text() for value in PATIENT.values() for path in [tmp_path / "m.csv"])


# --- cases of volumes --------------------------------------------------------------------------------------


@pytest.fixture
def brains(tmp_path: Path) -> Path:
    """Two studies with four sequences each, of which the second has one twice."""
    folder = tmp_path / "brains"
    values = np.arange(48, dtype=np.int16).reshape(4, 4, 3)
    for study in ("p1", "p2"):
        for words in ("flair", "t1", "t1_gd", "t2", *(["t2 again"] if study == "p2" else [])):
            write_series(
                folder / study / words,
                values,
                np.eye(4),
                study_uid=uid_of(study),
                series_uid=uid_of(study, words),
                SeriesDescription=words,
            )
    (folder / "notes.txt").write_text("nothing", encoding="utf-8")
    return folder


def test_studies_become_cases_of_volumes_and_a_list_of_what_is_in_none(
    nightread: Nightread, brains: Path, tmp_path: Path
) -> None:
    order = ("manifest", brains, "-o", tmp_path / "cases.csv", "--kind", "segmentation")
    done = nightread.call(*order)
    assert done.returncode == 0, done.stderr
    (row,) = rows(tmp_path / "cases.csv")
    assert row.pop("Patient ID").startswith("p")
    assert row == {"FLAIR": "p1/flair", "T1": "p1/t1", "T1Gd": "p1/t1_gd", "T2": "p1/t2"}
    skipped = {row["File"].split("/")[0]: row["Reason"] for row in rows(tmp_path / "cases.skipped.csv")}
    assert skipped == {"p2": "ambiguous_study", "notes.txt": "not_a_picture"}
    assert "28 files found: 12 in 1 cases, 16 skipped" in done.stderr
    assert f"nightread score {tmp_path}/cases.csv --images {brains} --model NAME" in done.stdout
    written = "".join(path.read_text(encoding="utf-8") for path in tmp_path.glob("cases*.csv"))
    assert PATIENT_ID not in written + done.stdout + done.stderr
    assert nightread.call(*order).returncode == 2, "it is there already"
    fewer = nightread.call(*order, "--force", "--sequences", "FLAIR,T1", "--patient-id", "keep")
    assert fewer.returncode == 0, fewer.stderr
    assert [row["Patient ID"] for row in rows(tmp_path / "cases.csv")] == [PATIENT_ID] * 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--view", "all"], "--view is for radiographs"),
        (["--since", "yesterday"], "--since is for radiographs"),
        (["--sequences", "FLAIR,ADC"], "ADC is none of FLAIR, T1, T1Gd, T2"),
        (["--sequences", "T1Gd,T1Gd"], "names T1Gd twice"),
    ],
)
def test_what_does_not_suit_cases_of_volumes_is_refused(
    nightread: Nightread, brains: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    refused = nightread.call(
        "manifest", brains, "-o", tmp_path / "cases.csv", "--kind", "segmentation", *options
    )
    assert refused.returncode == 2
    assert said in " ".join(refused.stderr.split())
    assert not (tmp_path / "cases.csv").exists()


def test_places_in_which_no_cases_are_looked_for_are_refused(
    nightread: Nightread, brains: Path, tmp_path: Path
) -> None:
    for place in ("s3://bucket/brains", "dicomweb+http://127.0.0.1:1/x", tmp_path / "absent"):
        refused = nightread.call("manifest", place, "-o", tmp_path / "c.csv", "--kind", "segmentation")
        assert refused.returncode == 2
        assert "looked for in a folder" in " ".join(refused.stderr.split())
    films = nightread.call("manifest", brains, "-o", tmp_path / "c.csv", "--sequences", "T1")
    assert "--sequences is for volumes" in " ".join(films.stderr.split())
    none = nightread.call("manifest", brains / "p2", "-o", tmp_path / "c.csv", "--kind", "segmentation")
    assert none.returncode == 2
    assert "no study has one series of each of FLAIR, T1, T1Gd, T2" in " ".join(none.stderr.split())
    assert (tmp_path / "c.skipped.csv").exists()
