"""A full disk, which could not strike in the storm: the stub network draws nothing."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support import CLASSIFIER_CARD, make_run

from config.cards.classification import ClassificationCard
from db import ledger, queries
from db.classifications import Classification
from db.database import Database
from workers.inference.engine import Inference
from workers.outputs.overlays import Overlays
from workers.scoring.classification import ClassificationScorer


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 128 KiB."""
    folder = Path(tempfile.mkdtemp(prefix="nightread-disk-"))
    try:
        options = ["mount", "-t", "tmpfs", "-o", "size=128k", "nightread-disk", str(folder)]
        mounted = subprocess.run(options, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no program `mount`")
    if mounted.returncode != 0:
        pytest.skip(f"no disk may be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


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


def test_a_full_disk_of_overlays_costs_overlays_and_no_scores(
    small_disk: Path, sqlite: Database, tmp_path: Path
) -> None:
    run_id = make_run(sqlite, tmp_path, 8, batch_size=8)
    noise = np.random.default_rng(5).integers(0, 256, (64, 64), dtype=np.uint8)
    for number in range(8):
        assert cv2.imwrite(str(tmp_path / f"{number:08d}_000.png"), noise)
    (announced,) = ledger.take_pending(sqlite, 1)
    held = ledger.claim(sqlite, announced.batch_id, "worker", 60.0)
    assert held is not None
    scorer = ClassificationScorer(
        ClassificationCard.model_validate(CLASSIFIER_CARD),
        FlatEngine(),
        overlays=Overlays(small_disk),
        max_pixels=10_000,
    )
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
    assert 0 < len(named) < len(overlays) == 8 * 14, "the disk became full on the way"
    written = [path for path in small_disk.rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to(small_disk)) for path in written) == sorted(named)
    for path in written:
        assert cv2.imread(str(path)) is not None, "what is there is whole"
