"""Small volumes for tests: files of nibabel's making, engines without a network, and runs by them."""

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from support import SEGMENTATION_CARD, write_card

from config.cards.model import make_card
from config.cards.segmentation import SegmentationCard
from config.settings import Settings
from db import ledger
from db.database import Database
from db.ledger import Claim
from db.outcomes import Outcome
from jobs.submit import Order, submit
from workers.scoring.segmentation import SegmentationScorer

AFFINE = np.diag([1.0, 1.0, 1.0, 1.0])

OBLIQUE = np.array(
    [[0.8, -0.3, 0.1, -90.0], [0.4, 1.1, 0.2, -120.0], [-0.2, 0.1, 2.5, -70.0], [0.0, 0.0, 0.0, 1.0]]
)
"""Voxels of another size along each axis, turned and sheared, in millimetres."""

CHANNELS = 4


def segmentation_card(**fields: Any) -> SegmentationCard:
    card = make_card(SEGMENTATION_CARD | fields)
    assert isinstance(card, SegmentationCard)
    return card


def nifti(values: NDArray[Any], affine: NDArray[np.float64] = AFFINE, *, zipped: bool = True) -> bytes:
    content: bytes = nibabel.Nifti1Image(values, affine, dtype=values.dtype).to_bytes()
    return gzip.compress(content, 1) if zipped else content


def head(
    shape: tuple[int, int, int] = (24, 20, 12), channels: int = CHANNELS, seed: int = 1
) -> NDArray[np.int16]:
    """A head of noise in zeros, with a brighter block in its middle: (x, y, z, channels)."""
    random = np.random.default_rng(seed)
    values = random.integers(100, 200, (*shape, channels), dtype=np.int16)
    middle = tuple(slice(side // 2 - 3, side // 2 + 2) for side in shape)
    values[middle] += 400
    for axis in range(3):
        edge = [slice(None)] * 3
        for outside in (slice(0, 2), slice(-2, None)):
            edge[axis] = outside
            values[tuple(edge)] = 0
    return values


def label_of(values: NDArray[Any]) -> NDArray[np.uint8]:
    label = np.zeros(values.shape[:3], dtype=np.uint8)
    label[values[..., 0] > 450] = 1
    return label


class PointwiseEngine:
    """An engine whose network sees one voxel at a time: the same answer for it in every patch."""

    name = "pointwise"

    def __init__(self, classes: int, batch: int = 2, middle: float = 0.0) -> None:
        self.batch = batch
        self.calls: list[int] = []
        self.releases = 0
        self._classes = classes
        self._middle = middle

    def segment(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        self.calls.append(len(patches))
        grey = patches.mean(axis=4) - self._middle
        answers: NDArray[np.float32] = np.stack(
            [expit(grey - index) for index in range(self._classes)], axis=-1
        ).astype(np.float32)
        return answers

    def release(self) -> None:
        self.releases += 1


POINTWISE = {"standardization": "brain", "threshold": 0.6}


def segment_cases(database: Database, home: Path, manifest: str, **card: Any) -> int:
    """Submit a manifest of volumes below home/volumes and score each case with a pointwise network."""
    scorer = SegmentationScorer(
        segmentation_card(**POINTWISE | card),
        PointwiseEngine(3, middle=1.0),
        outputs=home / "heatmaps",
        max_voxels=100_000,
    )
    return answer_cases(database, home, manifest, scorer.score, **POINTWISE | card)


def answer_cases(
    database: Database,
    home: Path,
    manifest: str,
    score: Callable[[Claim], Sequence[Outcome]],
    **card: Any,
) -> int:
    """Submit a manifest of volumes below home/volumes; each case ends as `score` says."""
    write_card(home / "models", SEGMENTATION_CARD | card)
    (home / "manifest.csv").write_text(manifest, encoding="utf-8")
    run_id = submit(database, Settings(home=home), Order(home / "manifest.csv", home / "volumes", "tumours"))
    for announced in ledger.take_pending(database, 100):
        held = ledger.claim(database, announced.batch_id, "worker", 60.0)
        assert held is not None
        assert len(held.images) == 1  # a case is a batch
        assert ledger.complete(database, held, score(held), "pointwise")
    return run_id
