"""`nightread train --kind segmentation` as its user runs it."""

from pathlib import Path

import pytest
from support import Nightread

from config.cards.model import read_model, require_segmenter
from jobs.phantoms.volumes.archive import write_volumes

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    write_volumes(folder / "train", 3, 11)
    write_volumes(folder / "valid", 1, 12)
    return folder


def command(heads: Path, *more: str | Path) -> list[str | Path]:
    return [
        *("train", heads / "train" / "manifest.csv", "--images", heads / "train"),
        *("--valid", heads / "valid" / "manifest.csv", "--valid-images", heads / "valid"),
        *("--name", "mine", "--kind", "segmentation", "--base", "2", "--patch", "48,48,32"),
        *("--epochs", "1", *more),
    ]


def test_a_model_comes_of_it(nightread: Nightread, heads: Path) -> None:
    done = nightread.run(*command(heads, "--half"))
    assert done.returncode == 0, done.stderr
    assert "patients in both splits: 0 (0 of 1 validation cases)" in done.stdout
    assert "epoch 1: loss" in done.stderr
    assert "mean Dice" in done.stderr
    card = require_segmenter(read_model(nightread.home / "models" / "mine")).card
    assert card.base == 2
    assert card.patch == (48, 48, 32)
    assert card.training is not None
    assert card.training.batch == 3
    shown = nightread.call("models", "show", "mine")
    assert "validation Dice" in shown.stdout


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--flip",), "--flip is for radiographs"),
        (("--size", "64"), "--size is for radiographs"),
        (("--patch", "30,30,30"), "patch: each edge must be a multiple of 8"),
        (("--patch", "a,b,c"), "patch.0: Input should be a valid integer"),
        (("--classes", "liver"), "manifest.csv: 3 cases cannot be read: images/"),
    ],
)
def test_wrong_options_are_named(nightread: Nightread, heads: Path, more: tuple[str, ...], says: str) -> None:
    refused = nightread.call(*command(heads, *more))
    assert refused.returncode == 2, refused.stderr
    assert says in " ".join(refused.stderr.split())
    assert not (nightread.home / "models" / "mine").exists()


def test_leaking_splits_and_cases_without_label_are_refused(
    nightread: Nightread, heads: Path, tmp_path: Path
) -> None:
    rows = (heads / "valid" / "manifest.csv").read_text().splitlines()
    leaking = tmp_path / "leaking.csv"
    leaking.write_text("\n".join([rows[0], rows[1].rpartition(",")[0] + ",11-1"]) + "\n")
    refused = nightread.call(*command(heads, "--valid", leaking))
    assert refused.returncode == 2
    assert "patients in both splits: 1 (1 of 1 validation cases)" in refused.stdout
    assert "--allow-leakage" in refused.stderr

    bare = tmp_path / "bare.csv"
    image, _, patient = rows[1].split(",")
    bare.write_text(f"{rows[0]}\n{rows[1]}\nother_{image},,{patient}\n")
    refused = nightread.call(*command(heads, "--valid", bare))
    assert refused.returncode == 2
    assert "1 of 2 cases have no label to learn from, such as other_" in " ".join(refused.stderr.split())


def test_volumes_are_no_radiographs(nightread: Nightread, heads: Path) -> None:
    told = command(heads)
    place = told.index("--kind")
    refused = nightread.call(*told[:place], "--epochs", "1")
    assert refused.returncode == 2
    assert "lists volumes, such as images/head_011_0001.nii.gz: say --kind segmentation" in " ".join(
        refused.stderr.split()
    )


def test_options_for_volumes_are_for_volumes(nightread: Nightread, heads: Path) -> None:
    refused = nightread.call(
        *("train", heads / "train" / "manifest.csv", "--images", heads / "train"),
        *("--valid", heads / "valid" / "manifest.csv", "--name", "mine", "--max-background", "0.9"),
    )
    assert refused.returncode == 2
    assert "--max-background is for volumes; this is a training with --kind classification" in refused.stderr
