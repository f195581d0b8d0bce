"""What a worker's child scores batches with: a scorer, of the kind that the model's card names."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from config.cache import Cache
from config.cards.model import Card
from config.engines import EngineKind
from db.ledger import Claim
from db.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class ScorerOptions:
    """The settings of a scorer besides its model.

    `engine`: what runs a network. `threads`: of one process's network. `overlays`: the folder that pictures
    are written below. `max_pixels`: a picture of more is refused. `graphs`: the folder in which exported
    networks are kept, None: they are not. `cache`: where prepared pictures are kept.
    """

    engine: EngineKind
    threads: int
    overlays: Path
    max_pixels: int
    graphs: Path | None = None
    cache: Cache | None = None


class Scorer(Protocol):
    """One model, ready to score batches."""

    @property
    def card(self) -> Card:
        """The model's card."""

    @property
    def engine(self) -> str:
        """What runs the network, as the ledger names it."""

    def score(self, held: Claim) -> list[Outcome]:
        """Return one outcome for each of the claimed images, in any order.

        Raises SourceError or SourceAwayError where the source, not an image, is at fault.
        """
