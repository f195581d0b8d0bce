"""Phantoms as DICOM files: the drawn picture, and a header that a manifest can be made of."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from pydicom import dcmread

from jobs.inventory.film import Film, look_at
from jobs.phantoms.archive import draw, plan_archive, write_archive
from workers.inference.formats.decode import decode

PLAN = plan_archive(4, seed=3, ending="dcm")


def test_an_archive_of_dicom_files_is_that_of_pngs(tmp_path: Path) -> None:
    as_png = plan_archive(4, seed=3)
    assert [replace(film, image_index=film.image_index[:-3] + "png") for film in PLAN] == as_png
    films, pictures = write_archive(tmp_path / "dicom", PLAN), write_archive(tmp_path / "png", as_png)
    for name in ("manifest.csv", "boxes.csv"):
        written = films.with_name(name).read_text(encoding="utf-8")
        assert written.replace(".dcm", ".png") == pictures.with_name(name).read_text(encoding="utf-8")
    for phantom in PLAN:
        content = (tmp_path / "dicom" / "images" / phantom.image_index).read_bytes()
        drawn = cv2.imread(str(tmp_path / "png" / "images" / f"{phantom.image_index[:-4]}.png"), -1)
        assert drawn is not None
        shown = decode(content, 2**20)
        assert np.abs(shown.values.astype(np.float64) - drawn).max() < 1e-4
        assert shown.film is not None
        assert shown.film.greyscale == "window"
        assert shown.film.spacing is not None
        assert shown.film.spacing.across == 0.35


def test_films_are_positives_and_negatives_of_12_bits_and_name_nobody(tmp_path: Path) -> None:
    write_archive(tmp_path, PLAN)
    read = [dcmread(tmp_path / "images" / phantom.image_index) for phantom in PLAN]
    assert {dataset.PhotometricInterpretation for dataset in read} == {"MONOCHROME1", "MONOCHROME2"}
    assert {dataset.BitsStored for dataset in read} == {12}
    assert {str(dataset.PatientName) for dataset in read} == {""}
    assert len({dataset.SOPInstanceUID for dataset in read}) == len(PLAN)
    assert len({dataset.StudyInstanceUID for dataset in read}) == len(PLAN)


def test_the_inventory_finds_in_the_headers_what_the_manifest_says(tmp_path: Path) -> None:
    write_archive(tmp_path, PLAN)
    found = look_at(tmp_path / "images", [phantom.image_index for phantom in PLAN], any_view=False)
    for phantom, film in zip(PLAN, found, strict=True):
        assert isinstance(film, Film)
        assert (film.patient_id, film.sex, film.view) == (
            str(phantom.patient_id),
            phantom.sex,
            phantom.view_position,
        )
        assert film.age == f"{phantom.age_years:03d}Y" or int(film.age) == phantom.age_years
        assert (film.modality, film.row_spacing) == ("CR", 0.35)


def test_the_same_phantom_gives_the_same_file(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_archive(tmp_path / folder, PLAN[:1])
    one, two = (tmp_path / folder / "images" / PLAN[0].image_index for folder in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert len(one.read_bytes()) > 2 * draw(PLAN[0]).size
