"""evaluate, compare and calibrate as their users run them, on a run of the stub network and on real boxes."""

from pathlib import Path

import pytest
from support import STUB_CARD, Nightread, close_run, score_batches, write_card, write_manifest

from jobs.submit import Order, submit

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


@pytest.fixture
def scored(nightread: Nightread, home: Path, tmp_path: Path) -> Nightread:
    """Two complete runs over the same 120 images, by two stub models."""
    write_card(home / "models", STUB_CARD | {"name": "other", "sha256": "1" * 64})
    manifest = write_manifest(tmp_path / "manifest.csv", 120)
    assert nightread.call("db", "upgrade").returncode == 0
    database = nightread.database()
    for model in ("stub", "other"):
        run = submit(database, nightread.settings(), Order(manifest, tmp_path, model))
        score_batches(database, home / "models", run)
        close_run(database, run)
    return nightread


def test_labels_boxes_comparison_and_calibration_become_rows(scored: Nightread, tmp_path: Path) -> None:
    lines = [f"{number:08d}_000.png,{int(number % 5 == 0)},{int(number % 2)}" for number in range(120)]
    labels = tmp_path / "radiologists.csv"
    labels.write_text("\n".join(["file,fluid,Mass", *lines]) + "\n", encoding="utf-8")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("Image,Finding,left,y,w,h\n00000003_000.png,Fluid,0,0,1024,1024\n", encoding="utf-8")
    done = scored.run(
        *("evaluate", "1", "--labels", labels, "--label-set", "readers", "--bootstrap", "20"),
        *("--finding-column", "fluid=Effusion", "--finding-column", "Mass=Mass", "--sensitivity", "0.9"),
        *("--boxes", boxes, "--box-column", "x=left", "--box-finding", "Fluid=Effusion"),
    )
    assert done.returncode == 0, done.stderr
    assert "evaluation 3 of run 1, labels: readers" in done.stdout
    assert "heatmaps against drawn boxes" in done.stdout
    (row,) = scored.sql(
        "SELECT * FROM auc WHERE evaluation_id = 3 AND finding = 'Effusion' AND subgroup = 'all'"
    )
    assert (row["label_set"], row["n_positive"], row["n_negative"]) == ("readers", 24, 96)
    assert row["bootstrap_low"] < row["auroc"] < row["bootstrap_high"]
    assert scored.sql("SELECT finding, images, hits FROM localisation") == [
        {"finding": "Effusion", "images": 1, "hits": 1}
    ]

    compared = scored.call("compare", "1", "2", "--label-set", "readers")
    assert compared.returncode == 0, compared.stderr
    assert "AUROC on the 120 images that both have scored" in compared.stdout
    assert "comparison 1 is kept" in compared.stdout
    found = scored.sql("SELECT finding, difference, p_holm FROM comparisons WHERE difference IS NOT NULL")
    assert {row["finding"] for row in found} == {"Effusion", "Mass"}

    calibrated = scored.call("calibrate", "1", "--evaluation", "3")
    assert calibrated.returncode == 0, calibrated.stderr
    filled = scored.sql(
        "SELECT finding, COUNT(calibrated) AS n FROM scores WHERE run_id = 1 GROUP BY finding"
    )
    assert {row["finding"] for row in filled if row["n"] == 120} == {"Effusion", "Mass"}
    assert scored.sql("SELECT COUNT(calibrated) AS n FROM scores WHERE run_id = 2") == [{"n": 0}]

    for arguments, words in (
        (("evaluate", "9"), "there is no run 9"),
        (("evaluate", "1", "--labels", labels, "--label-set", "manifest"), "choose another"),
        (("evaluate", "1", "--sensitivity", "95"), "not above 0 and at most 1"),
        (("evaluate", "1", "--boxes", labels), "radiologists.csv, line 1"),
        (("compare", "1", "2", "--label-set", "truth"), "they used: manifest, readers"),
        (("thresholds", "1", "--chosen-on", "1"), "120 images in common"),
        (("thresholds", "1", "--chosen-on", "2"), "are of two models"),
        (("calibrate", "2", "--evaluation", "3"), "of another model than run 2"),
    ):
        wrong = scored.call(*arguments)
        assert wrong.returncode == 2, (arguments, wrong.stdout, wrong.stderr)
        assert words in wrong.stderr.replace("\n", " "), (arguments, wrong.stderr)
        assert "Traceback" not in wrong.stderr
    assert scored.sql("SELECT COUNT(*) AS n FROM evaluations") == [{"n": 3}]
