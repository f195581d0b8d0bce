"""The kinds of scorer, by the kind of the model's card."""

from collections.abc import Callable
from typing import Final

from config.cards.model import Card, Model
from workers.scoring.classification import ClassificationScorer
from workers.scoring.scorer import Scorer, ScorerOptions
from workers.scoring.stub import StubScorer

SCORERS: Final[dict[str, Callable[..., Scorer]]] = {
    "classification": ClassificationScorer.load,
    "stub": StubScorer.load,
}
"""How each kind of model is loaded into this process; ConfigError if it is not what its card says."""


def make_scorer(model: Model[Card], options: ScorerOptions) -> Scorer:
    """Load a model into this process; ConfigError if it is not what its card says."""
    return SCORERS[model.card.kind](model, options)
