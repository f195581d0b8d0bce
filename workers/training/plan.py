"""The order for a training, and where it reports its progress."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from config.cards.card import Views
from config.cards.classification import Preprocessing
from config.cards.model import Classifier
from workers.inference.prepared import Prepared
from workers.training.splits import Overlap, Split

Epoch = dict[str, float]
"""An epoch's figures by their names."""

ReadPrepared = Callable[[str], Prepared]


class Pace(Protocol):
    """How long a training goes on, and how fast it learns; plans of all kinds have it."""

    @property
    def patience(self) -> int:
        """Epochs without a better one until it stops."""

    @property
    def learning_rate(self) -> float:
        """Adam's, at the beginning."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to train, on what, and how.

    `images` and `valid_images` name the sources of the two splits' pictures, which `read` and `read_valid`
    give as `pixels` has them, by the manifests' names, or raise ImageUnusableError.
    """

    name: str
    train: Split
    valid: Split
    shared: Overlap
    images: str
    valid_images: str
    read: ReadPrepared
    read_valid: ReadPrepared
    pixels: Preprocessing
    final_relu: bool = True
    start: Classifier | None = None
    epochs: int = 20
    batch: int = 16
    learning_rate: float = 1e-3
    patience: int = 5
    flip: bool = False
    half: bool = False
    seed: int = 0
    wanted_sensitivity: float = 0.9
    description: str = ""
    views: Views | None = None

    def fingerprint(self) -> str:
        """Return the SHA-256 of all that a continued training must have in common with its start."""
        facts = {
            "train": self.train.sha256,
            "valid": self.valid.sha256,
            "findings": self.train.findings,
            "images": [self.images, self.valid_images],
            "pixels": self.pixels.model_dump(mode="json"),
            "final_relu": self.final_relu,
            "start": self.start.card.fingerprint if self.start else None,
            "batch": self.batch,
            "learning_rate": self.learning_rate,
            "flip": self.flip,
            "seed": self.seed,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Reporter:
    """Where a training reports its progress."""

    begin: Callable[[int, int], None]
    """(epoch from 1, its steps)"""
    step: Callable[[float], None]
    """(the epoch's mean loss so far)"""
    end: Callable[[int, Epoch], None]
    """(epoch, its figures)"""
    note: Callable[[str], None]
    """(a line for the person)"""
