"""`nightread train` as its user runs it: refused, killed, gone on with, and its model scored with."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from support import Nightread, eventually

from config.cards.model import read_model, require_classifier
from jobs.phantoms.archive import Phantom, plan_archive, write_archive
from jobs.tables.manifest import Manifest

pytestmark = pytest.mark.processes

LEARNED = ("Cardiomegaly", "Effusion")


@dataclass(frozen=True)
class Archive:
    """Two folders of phantoms, of different patients, as `write_archive` lays them out."""

    train: Path
    valid: Path
    train_phantoms: list[Phantom]
    valid_phantoms: list[Phantom]

    def command(self, *, valid: Path | None = None, size: int = 64) -> list[str | Path]:
        return [
            *("train", self.train / "manifest.csv", "--images", self.train / "images"),
            *("--valid", valid or self.valid / "manifest.csv", "--valid-images", self.valid / "images"),
            *("--name", "mine", "--findings", ",".join(LEARNED)),
            *("--size", str(size), "--batch-size", "8", "--epochs", "2"),
        ]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    plan = plan_archive(70, seed=11, prevalence=dict.fromkeys(LEARNED, 0.5))
    boundary = plan[40].patient_id
    train = [phantom for phantom in plan if phantom.patient_id < boundary]
    valid = [phantom for phantom in plan if phantom.patient_id >= boundary]
    folder = tmp_path_factory.mktemp("archive")
    for name, phantoms in (("train", train), ("valid", valid)):
        write_archive(folder / name, phantoms)
    return Archive(folder / "train", folder / "valid", train, valid)


@pytest.fixture
def leaking(archive: Archive, tmp_path: Path) -> Path:
    """The validation split with five images of the training split's patients in it."""
    added = (archive.train / "manifest.csv").read_text().splitlines()[1:6]
    path = tmp_path / "leaking.csv"
    path.write_text((archive.valid / "manifest.csv").read_text() + "\n".join(added) + "\n")
    return path


def overlap_line(archive: Archive) -> str:
    patients = {phantom.patient_id for phantom in archive.train_phantoms[:5]}
    images = len(archive.valid_phantoms) + 5
    return f"patients in both splits: {len(patients)} (5 of {images} validation images)"


def test_a_leaking_split_is_refused_before_tensorflow_is_loaded(
    nightread: Nightread, archive: Archive, leaking: Path
) -> None:
    nightread.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    refused = nightread.run(*archive.command(valid=leaking))
    assert refused.returncode == 2
    assert overlap_line(archive) in refused.stdout
    imported = {line.split("|")[-1].strip() for line in refused.stderr.splitlines() if "|" in line}
    assert "workers.training.splits" in imported
    assert not {"tensorflow", "keras", "sklearn", "matplotlib"} & imported
    (error,) = (line for line in refused.stderr.splitlines() if line.startswith("error:"))
    assert str(leaking) in error
    assert "--allow-leakage" in error
    assert not (nightread.home / "training").exists()


def test_mean_and_std_are_of_the_images_in_the_named_column(nightread: Nightread, tmp_path: Path) -> None:
    for split, patient in (("train", 1), ("valid", 2)):
        rows = f"a{patient}.png,{patient},0\nb{patient}.png,{patient},1\n"
        (tmp_path / f"{split}.csv").write_text("picture,Patient ID,Mass\n" + rows)
    images = tmp_path / "images"
    images.mkdir()
    refused = nightread.run(
        *("train", tmp_path / "train.csv", "--images", images, "--valid", tmp_path / "valid.csv"),
        *("--name", "mine", "--image-column", "picture"),
    )
    assert refused.returncode == 2
    assert "none of the sampled images could be read" in refused.stderr


def test_allowed_leakage_is_told_all_the_same(nightread: Nightread, archive: Archive, leaking: Path) -> None:
    # The model to start from is looked for next, and is not there: nothing is trained here.
    order = [*archive.command(valid=leaking), "--from", "nowhere"]
    assert "--allow-leakage" in nightread.run(*order).stderr
    insisted = nightread.run(*order, "--allow-leakage")
    assert insisted.returncode == 2
    assert overlap_line(archive) in insisted.stdout
    assert "there is no model 'nowhere'" in insisted.stderr


@pytest.mark.timeout(600)
def test_a_killed_training_goes_on_and_its_model_scores(nightread: Nightread, archive: Archive) -> None:
    kept = nightread.home / "training" / "mine"

    def epochs() -> int:
        path = kept / "training.json"
        return len(json.loads(path.read_text())["history"]) if path.exists() else 0

    process = nightread.start(*archive.command())
    eventually(lambda: epochs() or process.poll() is not None, 300, "the first epoch is kept")
    process.kill()
    process.wait()
    assert epochs() == 1, nightread.logs()
    assert "patients in both splits: 0" in nightread.logs()
    assert not (nightread.home / "models" / "mine").exists()

    other = nightread.run(*archive.command(size=96))
    assert other.returncode == 2
    assert f"{kept} holds a training of this name with other data or options" in other.stderr
    assert epochs() == 1

    done = nightread.run(*archive.command(), timeout=400)
    assert done.returncode == 0, done.stderr
    assert "going on after epoch 1" in done.stderr
    assert "epoch 2: loss" in done.stderr
    assert "epoch 1: loss" not in done.stderr
    assert "Not for clinical use" in done.stdout
    assert_model_is_whole(nightread.home / "models" / "mine", archive)
    assert not [path.name for path in kept.iterdir() if path.is_file()]

    again = nightread.run(*archive.command())
    assert again.returncode == 2
    assert "is there already; choose another --name" in again.stderr

    assert_model_scores(nightread, archive)


def assert_model_is_whole(folder: Path, archive: Archive) -> None:
    card = require_classifier(read_model(folder)).card
    assert card.findings == LEARNED
    assert (card.pixels.size, card.pixels.channels) == (64, 1)
    assert 0 < card.pixels.mean[0] < 255
    for numbers in (card.thresholds, card.sensitive_thresholds, card.golden):
        assert numbers is not None
        assert len(numbers) == 2
    assert card.wanted_sensitivity == 0.9
    assert card.sha256 == hashlib.sha256((folder / "weights.npz").read_bytes()).hexdigest()
    facts = card.training
    assert facts is not None
    assert facts.train_sha256 == Manifest(archive.train / "manifest.csv").fingerprint()
    assert facts.valid_sha256 == Manifest(archive.valid / "manifest.csv").fingerprint()
    counted = (facts.train_images, facts.valid_images, facts.unusable_images, facts.shared_patients)
    assert counted == (len(archive.train_phantoms), len(archive.valid_phantoms), 0, 0)
    assert (facts.epochs, facts.batch) == (2, 8)
    history = json.loads((folder / "training.json").read_text())["history"]
    aurocs = [epoch["val_auroc"] for epoch in history]
    assert len(aurocs) == 2
    assert facts.best_epoch == aurocs.index(max(aurocs)) + 1
    assert card.figures is not None
    figures = card.figures["validation AUROC"]
    assert tuple(figures) == LEARNED
    assert sum(figures.values()) / 2 == pytest.approx(max(aurocs), abs=1e-3)
    for name in ("curve.png", "classes.png"):
        with Image.open(folder / name, formats=("PNG",)) as picture:
            assert picture.size[0] == 1200


def assert_model_scores(nightread: Nightread, archive: Archive) -> None:
    card = require_classifier(read_model(nightread.home / "models" / "mine")).card
    assert card.figures is not None
    images = len(archive.valid_phantoms)
    manifest = archive.valid / "manifest.csv"
    nightread.environment["NIGHTREAD_CHILDREN"] = "1"
    scored = nightread.run("score", manifest, "--images", archive.valid / "images", "--model", "mine")
    assert scored.returncode == 0, scored.stderr
    (run,) = nightread.sql("SELECT model, model_sha256, images, scored FROM progress")
    assert run == {"model": "mine", "model_sha256": card.sha256, "images": images, "scored": images}
    counted = nightread.sql(
        "SELECT finding, COUNT(*) AS images FROM scores GROUP BY finding ORDER BY finding"
    )
    assert counted == [{"finding": name, "images": images} for name in LEARNED]
    rows = nightread.sql("SELECT finding, auroc, threshold FROM auc WHERE subgroup = 'all'")
    assert {row["finding"]: row["threshold"] for row in rows if row["finding"] in LEARNED} == pytest.approx(
        dict(zip(LEARNED, card.thresholds, strict=True))
    )
    # The card's figures were those of this very split: scoring prepares the pictures as training did. The
    # tolerance is two pairs of images of nearly the same probability.
    measured = {row["finding"]: row["auroc"] for row in rows if row["finding"] in LEARNED}
    assert measured == pytest.approx(card.figures["validation AUROC"], abs=0.01)
