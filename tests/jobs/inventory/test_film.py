"""What a manifest has of one file: of its header only what cannot be a person's words."""

import random
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pydicom
import pytest
from films import FILM, PATIENT, film_of, write_film
from picture_support import JPEG, PLAIN

from jobs.inventory.film import KINDS, Film, look_at
from jobs.inventory.skips import Skip, Skipped
from workers.inference.formats.decode import FORMATS


def look(root: Path, *names: str) -> list[Film | Skipped]:
    return look_at(root, [*names], any_view=False)


def film(folder: Path, **attributes: Any) -> Film:
    write_film(folder / "film", **{"SOPInstanceUID": FILM["SOPInstanceUID"]} | attributes)
    (found,) = look(folder, "film")
    assert isinstance(found, Film)
    return found


def test_a_film_is_described_by_its_header(tmp_path: Path) -> None:
    assert film(tmp_path) == Film(
        name="film",
        kind="DICOM",
        patient_id=PATIENT["PatientID"],
        view="PA",
        age="060Y",
        sex="F",
        study_uid="1.2.3",
        series_uid="1.2.3.1",
        sop_uid="1.2.3.4",
        modality="CR",
        rows=16,
        columns=16,
        photometric="MONOCHROME2",
        row_spacing=0.2,
        column_spacing=0.1,
        spacing="PixelSpacing",
        transfer_syntax="1.2.840.10008.1.2.1",
    )


def test_kinds_are_known_by_content_and_are_those_that_workers_read(tmp_path: Path) -> None:
    contents = {"PNG": PLAIN, "JPEG": JPEG, "DICOM": film_of()}
    assert KINDS.keys() == FORMATS.keys() == contents.keys()
    for kind, content in contents.items():
        (tmp_path / "file.txt").write_bytes(content)
        (found,) = look(tmp_path, "file.txt")
        assert isinstance(found, Film)
        assert found.kind == kind
        for name, matches in KINDS.items():
            assert matches(content) == FORMATS[name].matches(content) == (name == kind)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Skip.EMPTY),
        (b"hello", Skip.NOT_A_PICTURE),
        (film_of()[128:], Skip.NOT_A_PICTURE),
        (film_of()[:140], Skip.UNREADABLE),
    ],
)
def test_what_is_no_film_has_its_reason(tmp_path: Path, content: bytes, reason: Skip) -> None:
    (tmp_path / "film.dcm").write_bytes(content)
    assert look(tmp_path, "film.dcm", "gone") == [Skipped("film.dcm", reason), Skipped("gone", Skip.MISSING)]


def test_a_name_that_leads_out_is_not_opened(tmp_path: Path) -> None:
    write_film(tmp_path / "secret")
    (tmp_path / "root").mkdir()
    assert look(tmp_path / "root", "../secret") == [Skipped("../secret", Skip.OUTSIDE_ROOT)]


@pytest.mark.parametrize("age", ["060Y", "11M", "3W", "62", ""])
def test_ages_are_kept_as_a_manifest_can_have_them(tmp_path: Path, age: str) -> None:
    assert film(tmp_path, PatientAge=age).age == age.upper()


@pytest.mark.parametrize(
    ("keyword", "value", "field"),
    [
        ("PatientAge", "DOE^J", "age"),
        ("PatientAge", "999Y", "age"),
        ("PatientSex", "DOE^JANE", "sex"),
        ("ViewPosition", "DOE^JANE", "view"),
        ("StudyInstanceUID", "DOE^JANE", "study_uid"),
        ("PhotometricInterpretation", "DOE^JANE", "photometric"),
        ("Modality", "", "modality"),
    ],
)
def test_words_that_a_person_may_have_typed_are_left_out(
    tmp_path: Path, keyword: str, value: str, field: str
) -> None:
    assert getattr(film(tmp_path, **{keyword: value}), field) == ""


@pytest.mark.parametrize(
    ("pixel", "imager", "expected"),
    [
        ([0.2, 0.1], [0.3, 0.3], ("PixelSpacing", 0.2, 0.1)),
        (None, [0.3, 0.3], ("ImagerPixelSpacing", 0.3, 0.3)),
        ([0, 0], [0.3, 0.3], ("ImagerPixelSpacing", 0.3, 0.3)),
        ([0.2], None, ("", "", "")),
        (None, None, ("", "", "")),
    ],
)
def test_a_spacing_says_of_which_kind_it_is(
    tmp_path: Path, pixel: object, imager: object, expected: tuple[object, ...]
) -> None:
    found = film(tmp_path, PixelSpacing=pixel, ImagerPixelSpacing=imager)
    assert (found.spacing, found.row_spacing, found.column_spacing) == expected


def test_a_damaged_file_is_a_film_or_has_a_reason_and_raises_nothing(tmp_path: Path) -> None:
    chosen = random.Random(11)
    whole = film_of(ImageType=["DERIVED", "PRIMARY"], SeriesDescription="Thorax p.a.", NumberOfFrames="1")
    outcomes = []
    for _ in range(600):
        content = bytearray(whole)
        for _ in range(chosen.choice((1, 3, 12))):
            place = chosen.randrange(132, len(content))
            way = chosen.randrange(4)
            if way == 0:
                content[place] = chosen.randrange(256)
            elif way == 1:
                content[place : place + 4] = b"\xff\xff\xff\xff"
            elif way == 2:
                del content[place : place + chosen.randrange(1, 30)]
            else:
                content[place:place] = content[place - chosen.randrange(1, 130) : place]
        (tmp_path / "film").write_bytes(content)
        with warnings.catch_warnings(action="error"):
            outcomes += look(tmp_path, "film")
    reasons = Counter(found.reason if isinstance(found, Skipped) else None for found in outcomes)
    assert reasons[None] > 50
    assert reasons[Skip.UNREADABLE] > 50
    assert reasons.total() == 600


def test_every_file_that_pydicom_is_tested_with_has_an_outcome() -> None:
    folder = Path(str(pydicom.__file__)).parent / "data" / "test_files"
    paths = [path for path in folder.rglob("*") if path.is_file()]
    assert len(paths) > 100
    for path in paths:
        (found,) = look(path.parent, path.name)
        assert found.name == path.name
