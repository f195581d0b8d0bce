"""The stub's answers follow from its card and the image's name alone."""

from pathlib import Path

import pytest
from support import STUB_CARD

from config.cards.stub import StubCard
from db.classifications import Classification
from db.ledger import BatchImage, Claim
from workers.scoring.stub import StubScorer

CARD = StubCard.model_validate(STUB_CARD)


@pytest.mark.parametrize("heatmaps", ["none", "positive"])
def test_stub_answers_the_same_to_the_same_name(tmp_path: Path, heatmaps: str) -> None:
    held = Claim(
        batch_id=1,
        run_id=7,
        number=1,
        batches=1,
        attempt=1,
        token="token",
        root=str(tmp_path),
        heatmaps=heatmaps,
        model=CARD.name,
        card_sha256=CARD.fingerprint,
        findings={finding: number for number, finding in enumerate(CARD.findings)},
        images=tuple(BatchImage(100 + index, name) for index, name in enumerate(("a.png", "b.png", "a.png"))),
    )
    first, second, third = StubScorer(CARD).score(held)
    assert isinstance(first, Classification)
    assert isinstance(second, Classification)
    assert isinstance(third, Classification)
    assert first.scores == third.scores != second.scores
    assert all(0 <= score.probability < 1 for score in first.scores)
    assert (first.maps is None) == (heatmaps == "none")
