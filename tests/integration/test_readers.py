"""Each reader of VinDr-CXR as a label set: AUROC per reader, and agreement, by one query each."""

import json
from pathlib import Path

import pytest
from miniatures import NIH
from support import Nightread, close_run, score_batches

HEADER = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
READINGS = {"R1": "11110000", "R2": "11000001", "R3": "11100000"}
"""Which of eight images have an effusion, by reader."""


@pytest.fixture
def scored(home: Path, tmp_path: Path) -> tuple[Nightread, Path, int]:
    table = tmp_path / "train.csv"
    lines = [HEADER]
    for reader, labels in READINGS.items():
        for number, label in enumerate(labels):
            box = "Pleural effusion,10,{},1,2,3,4" if label == "1" else "No finding,14,{},,,,"
            lines.append(f"i{number},{box.format(reader)}")
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    nightread = Nightread(home)
    done = nightread.call("submit", table, "--images", tmp_path, "--model", "stub", "--json")
    assert done.returncode == 0, done.stderr
    run_id = json.loads(done.stdout)["run_id"]
    database = nightread.database()
    score_batches(database, home / "models", run_id)
    close_run(database, run_id)
    return nightread, table, run_id


def test_each_reader_is_a_label_set_and_their_agreement_is_measured(
    scored: tuple[Nightread, Path, int],
) -> None:
    nightread, table, run_id = scored
    for _ in range(2):  # the second time the figures take the first ones' place
        done = nightread.call("evaluate", str(run_id), "--labels", table, "--each-reader")
        assert done.returncode == 0, done.stderr
    sets = nightread.sql(
        "SELECT DISTINCT label_set, n_positive FROM auc "
        "WHERE finding = 'Effusion' AND subgroup = 'all' AND label_set <> 'manifest' ORDER BY label_set"
    )
    assert [(row["label_set"], row["n_positive"]) for row in sets] == [("R1", 4), ("R2", 3), ("R3", 3)]
    found = nightread.sql(
        "SELECT statistic, reader_a, reader_b, readers, images, kappa, ci_low FROM agreement "
        "WHERE finding = 'Effusion' ORDER BY statistic, reader_a, reader_b"
    )
    assert [(row["reader_a"], row["reader_b"]) for row in found] == [
        ("R1", "R2"),
        ("R1", "R3"),
        ("R2", "R3"),
        (None, None),
    ]
    assert {row["images"] for row in found} == {8}
    assert [row["readers"] for row in found] == [2, 2, 2, 3]
    # R1 and R3 differ in one image of eight: (7/8 - 1/2) / (1 - 1/2).
    assert found[1]["kappa"] == pytest.approx(0.75)
    assert all(row["ci_low"] < row["kappa"] for row in found)
    never = nightread.sql("SELECT DISTINCT kappa, reason FROM agreement WHERE finding = 'Pneumothorax'")
    assert never == [{"kappa": None, "reason": "all labels are alike"}]
    nightread.end()


def test_a_file_without_readers_is_refused(scored: tuple[Nightread, Path, int], tmp_path: Path) -> None:
    nightread, _, run_id = scored
    done = nightread.call("evaluate", str(run_id), "--labels", NIH.write(tmp_path), "--each-reader")
    assert (done.returncode, "does not have the labels of two readers" in done.stderr) == (2, True)
    done = nightread.call("evaluate", str(run_id), "--each-reader")
    assert (done.returncode, "needs --labels" in done.stderr) == (2, True)
    nightread.end()
