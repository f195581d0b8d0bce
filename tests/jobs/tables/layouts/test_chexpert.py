"""CheXpert's paths and blank labels."""

from pathlib import Path

import pytest
from miniatures import CHEXPERT

from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions


def test_the_sets_own_folder_stays_where_it_is_below_the_root(tmp_path: Path) -> None:
    path = CHEXPERT.write(tmp_path / "CheXpert-v1.0-small")
    names = [row.image_index for row in Manifest(path, root=str(tmp_path))]
    assert names == [f"CheXpert-v1.0-small/{name}" for name in CHEXPERT.labels]


@pytest.mark.parametrize(("blank", "effusion"), [("negative", "01-"), ("ignore", "-1-")])
def test_a_blank_label_is_absent_unless_told(tmp_path: Path, blank: str, effusion: str) -> None:
    told = ReadOptions.model_validate({"blank": blank})
    manifest = Manifest(CHEXPERT.write(tmp_path), told, root=str(tmp_path))
    place = manifest.findings.index("Effusion")
    assert "".join(row.labels[place] for row in manifest) == effusion
    assert any(line.startswith("blank labels (not mentioned") for line in manifest.reading.remarks)


def test_a_row_without_any_label_is_unknown(tmp_path: Path) -> None:
    path = CHEXPERT.write(tmp_path)
    path.write_text(path.read_text() + "x/patient00003/study1/view1.jpg,Male,3,Frontal,AP" + "," * 14 + "\n")
    assert set([row.labels for row in Manifest(path)][-1]) == {"-"}


def test_how_blanks_are_taken_belongs_to_the_fingerprint(tmp_path: Path) -> None:
    path = CHEXPERT.write(tmp_path)
    prints = {Manifest(path, ReadOptions(layout=name)).fingerprint() for name in ("chexpert", "plain")}
    assert len(prints | {Manifest(path, ReadOptions(blank="ignore")).fingerprint()}) == 3
