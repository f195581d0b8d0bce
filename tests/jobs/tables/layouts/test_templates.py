"""Templates for the names of images."""

from pathlib import Path

import pytest

from jobs.tables.columns import ColumnError, Header
from jobs.tables.layouts.templates import filler
from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions

HEADER = Header(["subject_id", "dicom_id", "Image Index"])


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("files/p{subject_id:.2}/p{subject_id}/{dicom_id}.jpg", "files/p10/p1000/abc.jpg"),
        ("{Image Index}", "x.png"),
        ("{image index}{{a}}", "x.png{a}"),
    ],
)
def test_a_template_is_filled_from_a_row(template: str, name: str) -> None:
    assert filler(template, HEADER)(["1000", "abc ", "x.png"]) == name


def test_a_name_of_which_a_column_is_blank_is_blank() -> None:
    assert filler("p{subject_id}/{dicom_id}.jpg", HEADER)(["1000", " ", "x.png"]) == ""


@pytest.mark.parametrize(
    "template", ["{nothing}.jpg", "a.jpg", "{subject_id", "{subject_id:x}", "{subject_id.__class__}", "{}"]
)
def test_what_is_no_template_is_refused(template: str) -> None:
    with pytest.raises(ColumnError):
        filler(template, HEADER)


def test_the_option_names_the_images(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("id,Mass\n7,1\n", encoding="utf-8")
    manifest = Manifest(path, ReadOptions(image_name="scans/{id}.png"))
    assert [row.image_index for row in manifest] == ["scans/7.png"]
    assert manifest.reading.columns == {"image": "scans/{id}.png"}
    assert manifest.reading.unused == {}
