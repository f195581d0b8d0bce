"""`nightread demo --kind segmentation`: from nothing to segments in SQL and a report."""

import csv
from pathlib import Path

import pytest
from support import Nightread

pytestmark = pytest.mark.processes


def test_heads_are_drawn_segmented_and_asked_about(nightread: Nightread, tmp_path: Path) -> None:
    folder = tmp_path / "heads"
    done = nightread.run("demo", "--kind", "segmentation", "--images", "2", "--folder", folder, timeout=280)
    assert done.returncode == 0, done.stderr
    assert f"2 phantoms: {folder / 'manifest.csv'}" in done.stdout
    assert "How large is each tumour, and where?" in done.stdout
    asked = nightread.run(
        "sql", "SELECT image_index, dice, ml, mask_path FROM segments WHERE finding = 'WT'", "--csv"
    )
    rows = list(csv.DictReader(asked.stdout.splitlines()))
    assert len(rows) == 2
    for row in rows:
        assert float(row["dice"]) > 0.85
        assert float(row["ml"]) > 5
        assert Path(row["mask_path"]).name.endswith(".nii.gz")
    assert (folder / "report.html").stat().st_size > 10_000


def test_a_model_of_radiographs_segments_nothing(nightread: Nightread, tmp_path: Path) -> None:
    refused = nightread.run(
        *("demo", "--kind", "segmentation", "--model", "untrained", "--folder", tmp_path / "heads")
    )
    assert refused.returncode == 2
    assert "model untrained is of the kind classification; this is a demo of segmentation" in refused.stderr
    assert not (tmp_path / "heads").exists()
