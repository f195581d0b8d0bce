"""Tables of public sets are read as their publishers lay them out; each set's own module has its quirks."""

from dataclasses import replace
from pathlib import Path

import pytest
from miniatures import CHEXPERT, MINIATURES, NIH, PADCHEST, Miniature

from config.findings import FINDINGS
from jobs.tables.errors import TableError
from jobs.tables.layouts.known import LAYOUTS
from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions, reading_lines


def read(miniature: Miniature, folder: Path, **options: object) -> Manifest:
    """Write a miniature and open it with the options of its own command and these."""
    path = miniature.write(folder)
    told = ReadOptions.model_validate(miniature.told(folder) | options)
    return Manifest(path, told, findings=FINDINGS, root=str(folder))


def labels_of(manifest: Manifest, finding: str) -> dict[str, str]:
    """Return the label of one finding for each image."""
    place = manifest.findings.index(finding)
    return {row.image_index: row.labels[place] for row in manifest}


@pytest.fixture(params=[*MINIATURES])
def miniature(request: pytest.FixtureRequest) -> Miniature:
    return MINIATURES[request.param]


def test_a_set_is_recognised_by_its_columns_and_named(miniature: Miniature, tmp_path: Path) -> None:
    manifest = read(miniature, tmp_path)
    assert manifest.reading.layout == LAYOUTS[miniature.layout].title == miniature.title
    assert f", read as {miniature.title}: image from " in reading_lines(manifest.path, manifest.reading)[0]


def test_its_images_are_named_as_they_lie_below_the_root(miniature: Miniature, tmp_path: Path) -> None:
    names = [row.image_index for row in read(miniature, tmp_path)]
    assert names == list(miniature.labels)
    assert [name for name in names if not (tmp_path / name).is_file()] == []


def test_its_labels_are_those_of_the_models_findings(miniature: Miniature, tmp_path: Path) -> None:
    assert labels_of(read(miniature, tmp_path), miniature.finding) == miniature.labels


def test_patients_views_and_ages_are_read(miniature: Miniature, tmp_path: Path) -> None:
    rows = list(read(miniature, tmp_path))
    for told, field in (("patients", "patient_id"), ("views", "view_position"), ("ages", "age_years")):
        if expected := getattr(miniature, told):
            assert tuple(getattr(row, field) for row in rows) == expected


def test_what_was_done_to_the_table_is_said(miniature: Miniature, tmp_path: Path) -> None:
    remarks = read(miniature, tmp_path).reading.remarks
    assert [line for line in miniature.remarks if line not in remarks] == []


def test_a_forced_layout_is_the_recognised_one(miniature: Miniature, tmp_path: Path) -> None:
    found = read(miniature, tmp_path)
    forced = read(miniature, tmp_path, layout=miniature.layout)
    assert (list(forced), forced.reading) == (list(found), found.reading)


def test_a_layout_that_does_not_fit_or_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"has columns that are not there: 'ImageID', 'ImageDir'"):
        read(NIH, tmp_path, layout="padchest")
    with pytest.raises(TableError, match=r"there is no such layout\. There are nih, mimic-cxr"):
        read(NIH, tmp_path, layout="mnist")


def test_plain_is_none_of_them(tmp_path: Path) -> None:
    manifest = read(CHEXPERT, tmp_path, layout="plain")
    assert manifest.reading.layout is None
    assert next(iter(manifest)).image_index.startswith("CheXpert-v1.0-small/")
    assert set(labels_of(manifest, "Effusion").values()) == {"-", "1"}


def test_words_that_the_table_of_a_set_does_not_know_are_refused_unless_told(tmp_path: Path) -> None:
    with pytest.raises(
        TableError, match=r"column 'Labels': 'scoliosis' is none of the 14 findings"
    ) as caught:
        list(read(replace(PADCHEST, options=()), tmp_path))
    assert caught.value.line == 4


def test_what_a_word_of_a_set_means_is_said_and_kept(tmp_path: Path) -> None:
    reading = read(PADCHEST, tmp_path).reading
    assert reading.words == {"derrame pleural": "Effusion", "infiltrates": "Infiltration"}
    assert '"derrame pleural": "Effusion"' in reading.as_json()


def test_a_record_of_another_width_is_refused_with_its_line(tmp_path: Path) -> None:
    path = CHEXPERT.write(tmp_path)
    path.write_text(path.read_text() + "a.jpg,Male,3\n", encoding="utf-8")
    with pytest.raises(TableError, match=r"line 5: the number of fields is 3, in the header 19"):
        list(Manifest(path, root=str(tmp_path)))
