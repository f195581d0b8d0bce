"""The order for a training on volumes."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from config.cards.model import Segmenter
from config.cards.segmentation import SegmentationCard
from workers.training.splits import Overlap
from workers.training.volumes.sampling import ReadCase


@dataclass(frozen=True, slots=True)
class VolumeSplit:
    """A manifest's cases with labels: names, patients, and how a case is read."""

    manifest: Path
    sha256: str
    source: str
    names: tuple[str, ...]
    patients: tuple[str | None, ...]
    read: ReadCase

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class VolumePlan:
    """What to train, on what, and how.

    `draft`: the card of what is trained, whose golden scores and weights are still to come. `samples`:
    sub-volumes of each case in an epoch. `max_background`: a sub-volume with this share of it, or more, is
    not learned from.
    """

    draft: SegmentationCard
    train: VolumeSplit
    valid: VolumeSplit
    shared: Overlap
    start: Segmenter | None = None
    epochs: int = 20
    batch: int = 3
    learning_rate: float = 1e-3
    patience: int = 5
    samples: int = 1
    max_background: float = 0.95
    half: bool = False
    seed: int = 0

    def fingerprint(self) -> str:
        """Return the SHA-256 of all that a continued training must have in common with its start."""
        facts = {
            "train": [self.train.sha256, self.train.source],
            "valid": [self.valid.sha256, self.valid.source],
            "card": self.draft.fingerprint,
            "start": self.start.card.fingerprint if self.start else None,
            "batch": self.batch,
            "learning_rate": self.learning_rate,
            "samples": self.samples,
            "max_background": self.max_background,
            "seed": self.seed,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
