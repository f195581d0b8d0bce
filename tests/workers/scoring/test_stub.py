"""The stub's answers follow from its card and the image's name alone."""

from pathlib import Path

import pytest
from support import STUB_CARD, claim_of

from config.cards.stub import StubCard
from db.classifications import Classification
from workers.scoring.stub import StubScorer

CARD = StubCard.model_validate(STUB_CARD)


@pytest.mark.parametrize("heatmaps", ["none", "positive"])
def test_stub_answers_the_same_to_the_same_name(tmp_path: Path, heatmaps: str) -> None:
    held = claim_of(CARD, tmp_path, ("a.png", "b.png", "a.png"), heatmaps)
    first, second, third = StubScorer(CARD).score(held)
    assert isinstance(first, Classification)
    assert isinstance(second, Classification)
    assert isinstance(third, Classification)
    assert first.scores == third.scores != second.scores
    assert all(0 <= score.probability < 1 for score in first.scores)
    assert (first.maps is None) == (heatmaps == "none")
