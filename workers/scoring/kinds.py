"""The kinds of scorer, by the kind of the model's card."""

from pkgutil import resolve_name
from typing import Final

from config.cards.model import Card, Model
from workers.scoring.scorer import Scorer, ScorerOptions

SCORERS: Final[dict[str, str]] = {
    "classification": "workers.scoring.classification:ClassificationScorer.load",
    "segmentation": "workers.scoring.segmentation:SegmentationScorer.load",
    "stub": "workers.scoring.stub:StubScorer.load",
}
"""What loads each kind of model into this process. By name, as a child needs only its own model's kind."""


def make_scorer(model: Model[Card], options: ScorerOptions) -> Scorer:
    """Load a model into this process; ConfigError if it is not what its card says."""
    scorer: Scorer = resolve_name(SCORERS[model.card.kind])(model, options)
    return scorer
