"""To whom an order's results are sent, and whether they let us in before anything is queued."""

from dataclasses import dataclass

from config.cards.model import Card
from config.settings import Settings
from jobs.console import warn
from jobs.deliveries.kinds import require_kinds
from jobs.deliveries.peer import Peer, peer_of
from jobs.errors import AwayError
from jobs.kinds.known import ANSWER_KINDS
from jobs.kinds.objects import ObjectKind


@dataclass(frozen=True, slots=True)
class Receiver:
    """An address, the kinds of objects that it gets, None for all that a run has, and whether by TLS."""

    target: str
    kinds: tuple[ObjectKind, ...] | None = None
    tls: bool = False

    def peer(self, settings: Settings) -> Peer:
        """Make the receiver; raises InputError for an address that is none. Nothing is asked yet."""
        return peer_of(self.target, settings, tls=self.tls)


def require_receiver(receiver: Receiver | None, settings: Settings, heatmaps: str, card: Card) -> None:
    """Raise InputError where there is one and nothing can be sent; say if it is away.

    Its address may be none, it may refuse us, or runs of the model may have nothing of what it is to get.
    """
    if receiver is None:
        return
    if receiver.kinds is not None:
        require_kinds(f"a run of model {card.name}", ANSWER_KINDS[card.kind], heatmaps, card, receiver.kinds)
    with receiver.peer(settings) as peer:
        try:
            peer.check()
        except AwayError as error:
            warn(f"{error}; it is asked again once there are results")
