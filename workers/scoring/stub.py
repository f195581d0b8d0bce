"""A scorer without a network, for tests and benchmarks of queue and database."""

import hashlib
from typing import Self

import numpy as np

from config.cards.model import Model
from config.cards.stub import StubCard
from db.classifications import Classification, FindingScore
from db.ledger import BatchImage, Claim
from db.outcomes import Outcome
from workers.scoring.scorer import ScorerOptions


class StubScorer:
    """Answers at once with numbers that follow from the image's name: for the queue's tests and benchmarks.

    Another hash of the weights gives other numbers, as other weights would. It stands in for pictures and
    network only; what it answers goes the same way to the database.
    """

    MAP_SHAPE = (10, 10)
    engine = "stub"

    def __init__(self, card: StubCard) -> None:
        """Take the card with the findings to answer for."""
        self.card = card

    @classmethod
    def load(cls, model: Model[StubCard], _options: ScorerOptions) -> Self:
        """Make the scorer of a model; there is nothing to load."""
        return cls(model.card)

    def score(self, held: Claim) -> list[Outcome]:
        """Return one outcome for each of the claimed images."""
        return [self._outcome(held, image) for image in held.images]

    def _outcome(self, held: Claim, image: BatchImage) -> Classification:
        seen = f"{self.card.sha256} {image.image_index}".encode()
        digest = hashlib.shake_128(seen).digest(2 * len(self.card.findings))
        values = np.frombuffer(digest, dtype="<u2").astype(np.float32) / 65536
        maps = held.heatmaps != "none"
        return Classification(
            image.image_id,
            1024,
            1024,
            tuple(
                FindingScore(
                    finding,
                    probability,
                    peak=(512, 512) if maps else None,
                    box=(256, 256, 512, 512) if maps else None,
                )
                for finding, probability in zip(self.card.findings, values.tolist(), strict=True)
            ),
            maps=self._maps() if maps else None,
            map_shape=self.MAP_SHAPE if maps else None,
        )

    def _maps(self) -> bytes:
        return np.ones((*self.MAP_SHAPE, len(self.card.findings)), dtype="<f2").tobytes()
