"""NIH's images in the folders of Kaggle's archive."""

from pathlib import Path

import pytest
from miniatures import NIH, NIH_KAGGLE

from db.boxes import Box
from jobs.tables.boxes import read_boxes
from jobs.tables.errors import TableError
from jobs.tables.manifest import Manifest


def test_without_the_folders_names_are_as_written(tmp_path: Path) -> None:
    path = NIH_KAGGLE.write(tmp_path)
    assert [row.image_index for row in Manifest(path)] == list(NIH.labels)


def test_an_image_that_is_in_two_folders_is_refused(tmp_path: Path) -> None:
    path = NIH_KAGGLE.write(tmp_path)
    (tmp_path / "images_012/images/00000007_001.png").write_bytes(b"again")
    with pytest.raises(TableError, match=r"line 3, column 'Image Index': .* is in 2 folders"):
        Manifest(path, root=str(tmp_path))


def test_the_folders_belong_to_the_fingerprint(tmp_path: Path) -> None:
    path = NIH_KAGGLE.write(tmp_path)
    assert Manifest(path).fingerprint() != Manifest(path, root=str(tmp_path)).fingerprint()


@pytest.mark.parametrize("header", ["Bbox [x,y,w,h],,,", '"Bbox [x,y,w,h]",,,'])
def test_its_boxes_are_of_the_images_in_their_folders(tmp_path: Path, header: str) -> None:
    NIH_KAGGLE.write(tmp_path)
    path = tmp_path / "BBox_List_2017.csv"
    row = "00000009_000.png,Infiltrate,225.08,547.01,86.7,79.18"
    tail = ",,," if header.startswith("B") else ""
    path.write_text(f"Image Index,Finding Label,{header}\n{row}{tail}\n", encoding="utf-8")
    placed = "images_012/images/00000009_000.png"
    expected = Box(placed, "Infiltration", 225.08, 547.01, 86.7, 79.18)
    assert read_boxes(path, root=str(tmp_path)).boxes == (expected,)
    assert read_boxes(path).boxes == (expected._replace(image_index="00000009_000.png"),)
