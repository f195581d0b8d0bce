"""MIMIC-CXR-JPG's tables, whichever of them is named first."""

from pathlib import Path

import pytest
from miniatures import MIMIC

from jobs.tables.errors import TableError
from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions

LABELS, METADATA, SPLIT, RECORDS = MIMIC.files


def test_labels_by_study_alone_are_refused_with_what_to_join(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"no row per image.*--join mimic-cxr-2\.0\.0-metadata\.csv\.gz"):
        Manifest(MIMIC.write(tmp_path))


def test_the_order_of_the_tables_does_not_matter(tmp_path: Path) -> None:
    MIMIC.write(tmp_path)
    found = []
    for first, *others in ((LABELS, METADATA, SPLIT), (METADATA, LABELS, SPLIT), (SPLIT, METADATA, LABELS)):
        told = ReadOptions(join=tuple(tmp_path / name for name in others), split="test")
        found.append(list(Manifest(tmp_path / first, told, root=str(tmp_path))))
    assert found[0] == found[1] == found[2]
    assert [row.image_index for row in found[0]] == list(MIMIC.labels)


def test_a_study_that_was_not_labelled_is_unknown(tmp_path: Path) -> None:
    MIMIC.write(tmp_path)
    manifest = Manifest(tmp_path / METADATA, ReadOptions(join=(tmp_path / LABELS,)))
    assert [set(row.labels) for row in manifest][-1] == {"-"}


def test_another_template_takes_the_names_from_the_record_list(tmp_path: Path) -> None:
    MIMIC.write(tmp_path)
    told = ReadOptions(join=(tmp_path / RECORDS,), image_name="{path}")
    names = [row.image_index for row in Manifest(tmp_path / METADATA, told, root=str(tmp_path))]
    assert names[0] == next(iter(MIMIC.labels)).replace(".jpg", ".dcm")


def test_the_files_folder_itself_may_be_the_root(tmp_path: Path) -> None:
    MIMIC.write(tmp_path)
    names = [row.image_index for row in Manifest(tmp_path / METADATA, root=str(tmp_path / "files"))]
    assert f"files/{names[0]}" == next(iter(MIMIC.labels))
