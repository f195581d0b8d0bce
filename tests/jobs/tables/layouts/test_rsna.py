"""RSNA's challenge: a row per box."""

from pathlib import Path

import pytest
from miniatures import RSNA

from db.boxes import Box
from jobs.tables.boxes import read_boxes
from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions


@pytest.mark.parametrize("ending", [".dcm", ".png", ".jpg"])
def test_the_ending_is_that_of_the_files(tmp_path: Path, ending: str) -> None:
    path = RSNA.write(tmp_path / "tables")
    (tmp_path / f"0004cfab{ending}").write_bytes(b"x")
    names = [row.image_index for row in Manifest(path, root=str(tmp_path))]
    assert names == [f"0004cfab{ending}", f"00436515{ending}"]


def test_the_target_may_be_another_finding(tmp_path: Path) -> None:
    told = ReadOptions(finding_columns={"Target": "Consolidation"})
    assert Manifest(RSNA.write(tmp_path), told).findings == ("Consolidation",)


def test_its_boxes_are_read_from_the_same_table(tmp_path: Path) -> None:
    path = RSNA.write(tmp_path)
    image = "stage_2_train_images/00436515.dcm"
    assert read_boxes(path, root=str(tmp_path)).boxes == (
        Box(image, "Pneumonia", 264.0, 152.0, 213.0, 379.0),
        Box(image, "Pneumonia", 562.0, 152.0, 256.0, 453.0),
    )
