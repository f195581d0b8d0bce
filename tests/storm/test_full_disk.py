"""A full disk, which could not strike in the storm: the stub network draws nothing."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from storm.disks import disk, fill
from support import (
    CLASSIFIER_CARD,
    STUB_CARD,
    Nightread,
    close_run,
    eventually,
    make_run,
    score_batches,
    write_card,
    write_manifest,
)

from config.cards.classification import ClassificationCard
from config.cards.model import SHIPPED
from db import ledger, queries
from db.classifications import Classification
from db.database import Database, DriverError
from db.errors import DatabaseError
from db.upgrade import upgrade
from jobs.inventory.pseudonyms import key_of
from workers.inference.engine import Inference
from workers.inference.ensemble import Ensemble
from workers.outputs.folder import OutputAwayError
from workers.outputs.overlays import Overlays
from workers.scoring.classification import ClassificationScorer


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 128 KiB."""
    with disk("128k") as folder:
        yield folder


LEASE_SECONDS = 6.0


def begun(database: Database) -> bool:
    try:
        return queries.progress(database, 1).scored > 10
    except (DatabaseError, DriverError):
        return False  # it has no tables or no run yet


class FlatEngine:
    """Finds everything everywhere, so that each picture has an overlay for each finding."""

    batch = 4
    name = "flat"

    def infer(self, inputs: NDArray[np.float32]) -> Inference:
        findings = len(CLASSIFIER_CARD["findings"])
        return Inference(
            np.full((len(inputs), findings), 0.9, dtype=np.float32),
            np.ones((len(inputs), 10, 10, findings), dtype=np.float32),
            np.zeros((len(inputs), 4), dtype=np.float32),
        )


@pytest.mark.processes
def test_a_full_disk_of_overlays_is_waited_for_and_costs_none(
    small_disk: Path, sqlite: Database, tmp_path: Path
) -> None:
    run_id = make_run(sqlite, tmp_path, 8, batch_size=8)
    noise = np.random.default_rng(5).integers(0, 256, (64, 64), dtype=np.uint8)
    for number in range(8):
        assert cv2.imwrite(str(tmp_path / f"{number:08d}_000.png"), noise)
    (announced,) = ledger.take_pending(sqlite, 1)
    held = ledger.claim(sqlite, announced.batch_id, "worker", 60.0)
    assert held is not None
    card = ClassificationCard.model_validate(CLASSIFIER_CARD)
    scorer = ClassificationScorer(
        card,
        Ensemble.alone(card, FlatEngine()),
        overlays=Overlays(small_disk),
        max_pixels=10_000,
    )
    with pytest.raises(OutputAwayError, match="No space left"):
        scorer.score(held)
    written = [path for path in small_disk.rglob("*") if path.is_file()]
    assert 0 < len(written) < 8 * 14, "the disk became full on the way"
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    outcomes = scorer.score(held)
    assert ledger.complete(sqlite, held, outcomes)
    progress = queries.progress(sqlite, run_id)
    assert (progress.scored, progress.failed) == (8, 0)

    overlays = [
        score.overlay_path
        for image in outcomes
        if isinstance(image, Classification)
        for score in image.scores
    ]
    named = [path for path in overlays if path is not None]
    assert len(named) == len(overlays) == 8 * 14
    written = [path for path in small_disk.rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to(small_disk)) for path in written) == sorted(named)
    for path in written:
        assert cv2.imread(str(path)) is not None, "what is there is whole"


@pytest.mark.processes
def test_a_file_that_does_not_fit_is_named_in_one_line_and_what_was_there_stays(
    small_disk: Path, nightread: Nightread
) -> None:
    database = nightread.database()
    upgrade(database)
    run_id = make_run(database, nightread.home, 300, batch_size=100)
    score_batches(database, nightread.home / "models")
    close_run(database, run_id)
    asked = {
        "scores.csv": ("export", "1", "-o"),
        "wide.csv": ("export", "1", "--wide", "-o"),
        "scores.parquet": ("export", "1", "-o"),
        "report.html": ("report", "1", "-o"),
    }
    for name in asked:
        (small_disk / name).write_text("old")
    fill(small_disk)
    there = sorted(small_disk.iterdir())
    for name, arguments in asked.items():
        done = nightread.call(*arguments, small_disk / name)
        assert done.returncode == 1, done.stderr
        (line,) = [line for line in done.stderr.splitlines() if "error:" in line]
        assert f"{small_disk / name} cannot be written: No space left" in line
        assert (small_disk / name).read_text() == "old"
    assert sorted(small_disk.iterdir()) == there, "no half file is left"


@pytest.mark.processes
@pytest.mark.timeout(400)
def test_a_run_whose_home_is_full_waits_says_so_and_fails_no_image(
    nightread: Nightread, tmp_path: Path
) -> None:
    with disk("24m") as folder:
        nightread.home = folder / "home"
        nightread.environment["NIGHTREAD_LEASE_SECONDS"] = str(LEASE_SECONDS)
        nightread.environment["NIGHTREAD_MAX_ATTEMPTS"] = "1"
        write_card(nightread.home / "models", STUB_CARD)
        manifest = write_manifest(tmp_path / "manifest.csv", 1_000)
        order = ("score", manifest, "--images", tmp_path, "--model", "stub", "--batch-size", "2")
        run = nightread.start(*order)
        database = nightread.database()
        eventually(lambda: begun(database), 120, "a batch is done")
        filler = fill(folder)
        time.sleep(3 * LEASE_SECONDS)  # so long is it full
        assert run.poll() is None, nightread.logs()
        waits = f"waiting: no space for {nightread.home / 'nightread.db'} ("
        assert f"run 1: {waits}" in nightread.call("status").stderr
        (progress,) = json.loads(nightread.call("status", "--json").stdout)
        (reason,) = progress["waiting_for"]
        assert waits.endswith(reason.partition("(")[0] + "(")
        assert queries.progress(database, 1).scored < 1_000
        filler.unlink()
        assert nightread.ends(run, 240) == 0, nightread.logs()
        progress = queries.progress(database, 1)
        assert (progress.status, progress.scored, progress.failed) == ("complete", 1_000, 0)
        said = (nightread.home / "score.0.log").read_text()
        # What the queue's server says of its file, or what is found of the database's: whichever comes first.
        assert re.search("waiting: .*(no space for|No space left on device)", said), said
        assert "Traceback" not in said


def test_a_model_that_finds_no_space_is_said_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    source = shutil.copytree(SHIPPED / "demo", tmp_path / "mine")
    card = source / "card.yaml"
    card.write_text(card.read_text("utf-8").replace("name: demo", "name: mine"), "utf-8")
    with disk("8m") as folder:
        done = Nightread(folder).call("models", "add", source)
        assert done.returncode == 1, done.stderr
        assert done.stderr == f"error: {folder / 'models'}: No space left on device\n"
        assert list((folder / "models").iterdir()) == []


def test_a_key_that_finds_no_space_is_not_half_made(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(OSError, match="No space left on device") as refused:
        key_of(small_disk)
    assert refused.value.filename == str(small_disk / "pseudonym.key")
    assert [path.name for path in small_disk.iterdir()] == ["filler"]
