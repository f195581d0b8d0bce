"""VinDr-CXR: several readers of an image, with boxes or with columns."""

from pathlib import Path

import pytest
from miniatures import VINDR

from db.boxes import Box
from jobs.tables.boxes import read_boxes
from jobs.tables.errors import TableError
from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions

COLUMNS = """image_id,rad_id,Aortic enlargement,Nodule/Mass,Pleural effusion,Pneumonia,No finding
a,R1,0,0,1,0,0
a,R2,0,1,1,0,0
a,R3,0,0,0,0,1
b,R1,0,0,0,1,0
b,R2,0,0,0,0,1
b,R3,0,0,0,0,1
"""


@pytest.mark.parametrize(
    ("rule", "effusion"), [("majority", "10"), ("any", "11"), ("all", "00"), ("R8", "10"), ("R11", "1-")]
)
def test_several_readers_become_one_by_a_rule(tmp_path: Path, rule: str, effusion: str) -> None:
    manifest = Manifest(VINDR.write(tmp_path), ReadOptions(readers=rule))
    place = manifest.findings.index("Effusion")
    assert "".join(row.labels[place] for row in manifest) == effusion
    assert any(
        f"several readers: {'the labels' if rule[0] == 'R' else 'an image'}" in line
        for line in manifest.reading.remarks
    )


def test_a_reader_who_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"no reader has that name. There are R10, R11, R8, R9"):
        Manifest(VINDR.write(tmp_path), ReadOptions(readers="R99"))


def test_a_class_that_is_not_the_sets_is_refused_unless_told(tmp_path: Path) -> None:
    path = VINDR.write(tmp_path)
    path.write_text(path.read_text() + "9a5094,Scoliosis,99,R8,1,2,3,4\n", encoding="utf-8")
    with pytest.raises(TableError, match=r"line 9, column 'class_name': 'Scoliosis' is none"):
        Manifest(path)
    remarks = Manifest(path, ReadOptions(ignore_labels=True)).reading.remarks
    assert any(line.endswith("passed over (--ignore-labels): 1 (1 'Scoliosis')") for line in remarks)


def test_classes_without_a_finding_are_said_and_may_be_given_one(tmp_path: Path) -> None:
    path = VINDR.write(tmp_path)
    assert "Nodule/Mass" in Manifest(path).reading.unused
    manifest = Manifest(path, ReadOptions(finding_columns={"Nodule/Mass": "Nodule"}, readers="any"))
    place = manifest.findings.index("Nodule")
    assert "".join(row.labels[place] for row in manifest) == "01"


def test_the_table_with_a_column_per_finding_is_read(tmp_path: Path) -> None:
    path = tmp_path / "image_labels_train.csv"
    path.write_text(COLUMNS, encoding="utf-8")
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.png").write_bytes(b"x")
    manifest = Manifest(path, root=str(tmp_path))
    places = [manifest.findings.index(finding) for finding in ("Effusion", "Pneumonia")]
    rows = {row.image_index: "".join(row.labels[place] for place in places) for row in manifest}
    assert rows == {"train/a.png": "10", "train/b.png": "00"}


def test_the_test_splits_consensus_names_no_reader(tmp_path: Path) -> None:
    path = tmp_path / "annotations_test.csv"
    path.write_text("image_id,class_name,x_min,y_min,x_max,y_max\na,Edema,1,2,3,4\nb,No finding,,,,\n")
    manifest = Manifest(path)
    place = manifest.findings.index("Edema")
    assert [(row.image_index, row.labels[place]) for row in manifest] == [("a.dicom", "1"), ("b.dicom", "0")]
    assert not any("readers" in line for line in manifest.reading.remarks)


def test_its_boxes_are_read_from_the_same_table(tmp_path: Path) -> None:
    path = VINDR.write(tmp_path)
    boxes = read_boxes(path, root=str(tmp_path)).boxes
    assert boxes[0] == Box("train/50a418.dicom", "Effusion", 100.0, 200.0, 200.0, 200.0)
    assert [box.finding for box in boxes] == ["Effusion"] * 4 + ["Nodule/Mass"]
    renamed = read_boxes(path, findings={"Nodule/Mass": "Mass"}, root=str(tmp_path)).boxes
    assert renamed[-1].finding == "Mass"
    assert read_boxes(path).fingerprint != read_boxes(path, root=str(tmp_path)).fingerprint
