"""A tree of studies becomes cases of volumes; what is of none is listed with its reason, file by file."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from series_support import PATIENT_ID, enhanced_of, slice_of, uid_of, write_series

from jobs.errors import SourceError
from jobs.inventory.cases import Cases, case_lines, find_cases
from jobs.inventory.skips import Skip
from jobs.inventory.tables import cases_csv, skipped_csv

SEQUENCES = ("FLAIR", "T1", "T1Gd", "T2")
WORDS = {"FLAIR": "AX T2 FLAIR", "T1": "t1_mprage", "T1Gd": "T1 POST GD", "T2": "AX T2"}
VALUES = np.arange(4 * 4 * 3, dtype=np.int16).reshape(4, 4, 3)
AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])


def write(folder: Path, study: str, words: str, **attributes: Any) -> list[Path]:
    """Write a series of three slices."""
    return write_series(
        folder,
        VALUES,
        AFFINE,
        study_uid=uid_of(study),
        series_uid=uid_of(study, words, str(folder)),
        SeriesDescription=words,
        **attributes,
    )


def write_study(root: Path, study: str, *without: str) -> None:
    for sequence, words in WORDS.items():
        if sequence not in without:
            write(root / study / sequence.lower(), study, words)


def reasons(found: Cases) -> Counter[Skip]:
    return Counter(file.reason for file in found.skipped)


def test_a_study_with_one_series_of_each_sequence_is_a_case(tmp_path: Path) -> None:
    for study in ("p2", "p1"):
        write_study(tmp_path, study)
    write(tmp_path / "p1" / "dwi", "p1", "ep2d_diff")
    write(tmp_path / "p1" / "scout", "p1", "T1 scout", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    (tmp_path / "p1" / "notes.txt").write_text("nothing", encoding="utf-8")
    found = find_cases(tmp_path, SEQUENCES)
    assert [case.places for case in found.cases] == [
        {sequence: f"{study}/{sequence.lower()}" for sequence in SEQUENCES} for study in ("p1", "p2")
    ]
    assert {case.patient_id for case in found.cases} == {PATIENT_ID}
    assert (found.found, found.kept) == (31, 24)
    assert reasons(found) == {Skip.OTHER_SEQUENCE: 3, Skip.LOCALIZER: 3, Skip.NOT_A_PICTURE: 1}
    counted, skipped = case_lines(found)
    assert counted == "31 files found: 24 in 2 cases, 7 skipped"
    assert skipped.endswith("1 not_a_picture")
    assert "3 other_sequence" in skipped
    assert cases_csv(found.identified(tmp_path / "home", "none")).decode().splitlines() == [
        "FLAIR,T1,T1Gd,T2,Patient ID",
        "p1/flair,p1/t1,p1/t1gd,p1/t2,",
        "p2/flair,p2/t1,p2/t1gd,p2/t2,",
    ]
    pseudonym = found.identified(tmp_path / "home", "hash").cases[0].patient_id
    assert pseudonym
    assert PATIENT_ID not in pseudonym


def test_a_study_that_lacks_a_sequence_or_has_one_twice_is_passed_over_whole(tmp_path: Path) -> None:
    write_study(tmp_path, "lacks", "T1Gd")
    write_study(tmp_path, "twice")
    write(tmp_path / "twice" / "again", "twice", "T1 post contrast")
    write_study(tmp_path, "good")
    found = find_cases(tmp_path, SEQUENCES)
    assert [case.places["T1"] for case in found.cases] == ["good/t1"]
    assert reasons(found) == {Skip.INCOMPLETE_STUDY: 9, Skip.AMBIGUOUS_STUDY: 15}
    assert {file.name.split("/")[0] for file in found.skipped} == {"lacks", "twice"}
    # Of fewer sequences, more studies are cases.
    assert [case.places for case in find_cases(tmp_path, ["FLAIR"]).cases] == [
        {"FLAIR": f"{study}/flair"} for study in ("good", "lacks", "twice")
    ]


def test_a_series_whose_folder_has_another_has_no_name(tmp_path: Path) -> None:
    write_study(tmp_path, "p1", "T1", "T2")
    both = tmp_path / "p1" / "both"
    for words in ("t1", "t2"):
        for place in range(3):
            dataset = slice_of(
                VALUES,
                AFFINE,
                place,
                study_uid=uid_of("p1"),
                series_uid=uid_of(words),
                SeriesDescription=words,
            )
            both.mkdir(exist_ok=True)
            dataset.save_as(both / f"{words}_{place}", enforce_file_format=True)
    write(tmp_path, "p2", "AX T2 FLAIR")
    found = find_cases(tmp_path, SEQUENCES)
    assert not found.cases
    assert reasons(found) == {Skip.SHARED_FOLDER: 9, Skip.INCOMPLETE_STUDY: 6}
    assert len(skipped_csv(found).decode().splitlines()) == 16


def test_a_series_in_folders_below_one_and_a_single_file_of_many_frames_have_names(tmp_path: Path) -> None:
    write_study(tmp_path, "p1", "T1", "T2")
    for path in write(tmp_path / "p1" / "t1", "p1", "t1"):
        (tmp_path / "p1" / "t1" / path.stem).mkdir()
        path.rename(tmp_path / "p1" / "t1" / path.stem / "image")
    whole = enhanced_of(VALUES, AFFINE)
    whole.StudyInstanceUID, whole.SeriesInstanceUID = uid_of("p1"), uid_of("whole")
    whole.SeriesDescription = "T2"
    whole.save_as(tmp_path / "p1" / "t2.dcm", enforce_file_format=True)
    (case,) = find_cases(tmp_path, SEQUENCES).cases
    assert case.places == {"FLAIR": "p1/flair", "T1": "p1/t1", "T1Gd": "p1/t1gd", "T2": "p1/t2.dcm"}


def test_what_is_no_series_of_mr_is_passed_over_with_its_reason(tmp_path: Path) -> None:
    write_study(tmp_path, "p1")
    write(tmp_path / "ct", "p1", "T1", Modality="CT")
    write(tmp_path / "nameless", "p1", "T1", StudyInstanceUID="")
    write(tmp_path / "report", "p1", "T1", Rows=None, Columns=None, Modality="SR", SOPClassUID="1.2.3")
    (tmp_path / "one").mkdir()
    slice_of(VALUES, AFFINE, 0, series_uid=uid_of("one"), SeriesDescription="T1").save_as(
        tmp_path / "one" / "a", enforce_file_format=True
    )
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "cut.dcm").write_bytes((tmp_path / "ct" / "IM00000.dcm").read_bytes()[:150])
    (tmp_path / "out").symlink_to("/etc/passwd")
    found = find_cases(tmp_path, SEQUENCES)
    assert len(found.cases) == 1
    assert reasons(found) == {
        Skip.OTHER_MODALITY: 3,
        Skip.NO_SERIES: 3,
        Skip.REPORT: 3,
        Skip.OTHER_SEQUENCE: 1,
        Skip.NOT_DICOM: 1,
        Skip.UNREADABLE: 1,
        Skip.OUTSIDE_ROOT: 1,
    }
    with pytest.raises(SourceError):
        find_cases(tmp_path / "absent", SEQUENCES)
