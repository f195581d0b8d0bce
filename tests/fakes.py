"""Stand-ins for what fast tests do without: the broker's network, and the networks of models."""

from collections.abc import Sequence
from pathlib import Path

from celery import Celery

from config.cards.model import find_model
from config.cards.stub import StubCard
from db.ledger import Announcement
from jobs.dispatch.broker import Broker, BrokerAwayError
from workers.scoring.stub import StubScorer


def stub_scorer(models: Path, name: str = "stub") -> StubScorer:
    """The scorer of a stub model in a folder of models."""
    card = find_model(name, models).card
    assert isinstance(card, StubCard)
    return StubScorer(card)


class FakeBroker(Broker):
    """Keeps what it was to send; `away`: it does not answer, `drained`: what it says of its queue."""

    def __init__(self) -> None:
        super().__init__(Celery(set_as_current=False))
        self.batches: list[int] = []
        """Ids of the batches, in the order of their messages."""
        self.evaluations: list[tuple[int, int]] = []
        """(evaluation, run) of each message."""
        self.away = False
        self.drained = True

    def announce(self, batches: Sequence[Announcement]) -> None:
        if batches:
            self._answer()
        self.batches += [announced.batch_id for announced in batches]

    def announce_evaluation(self, evaluation_id: int, run_id: int) -> None:
        self._answer()
        self.evaluations.append((evaluation_id, run_id))

    def is_drained(self) -> bool:
        self._answer()
        return self.drained

    def _answer(self) -> None:
        if self.away:
            raise BrokerAwayError("the broker does not answer")
