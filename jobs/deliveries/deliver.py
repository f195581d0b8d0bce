"""Sending what is due to a receiver: each object once, whatever happens in between."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from db import deliveries
from db.database import Database
from db.deliveries import NOT_DICOM, Due, Object
from db.states import DeliveryState
from jobs.deliveries.peer import DicomObject, Peer
from jobs.errors import AwayError
from jobs.kinds.objects import ObjectKind

_FIRST_WAIT_SECONDS: Final = 1.0
_LONGEST_WAIT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Made:
    """The objects of an image that are due; none where there is a reason, or it is no DICOM file.

    `reason`: a Reason, or a status of `db.deliveries`.
    """

    image_id: int
    due: frozenset[Object]
    objects: Sequence[DicomObject] = ()
    reason: str | None = None


Maker = Callable[[Iterable[Due]], Iterator[Made]]
"""Makes what is due, in its order; raises AwayError where the films' source is away."""


class NotFinishedError(AwayError):
    """A receiver, or the films' source, has been away for too long; the same command goes on later."""


class Patience:
    """Waits longer each time, and not for ever; `say` is told what is waited for, once."""

    def __init__(
        self, seconds: float, say: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """`seconds`: from the last success on."""
        self._seconds = seconds
        self._say = say
        self._sleep = sleep
        self._since = time.monotonic()
        self._wait = _FIRST_WAIT_SECONDS
        self._said = False

    def succeed(self) -> None:
        """Begin anew: it answers."""
        self._since = time.monotonic()
        self._wait = _FIRST_WAIT_SECONDS
        self._said = False

    def wait(self, error: AwayError) -> None:
        """Wait before the next attempt; raises NotFinishedError once it has been too long."""
        if time.monotonic() - self._since >= self._seconds:
            raise NotFinishedError(f"{error}; the same command goes on where it stopped") from error
        if not self._said:
            self._say(f"waiting: {error}")
            self._said = True
        self._sleep(min(self._wait, self._seconds))
        self._wait = min(2 * self._wait, _LONGEST_WAIT_SECONDS)


def deliver(
    database: Database,
    run_id: int,
    peer: Peer,
    kinds: Collection[ObjectKind],
    make: Maker,
    patience: Patience,
    *,
    again: bool = False,
    progress: Callable[[int], None] = lambda _: None,
    enough: Callable[[], bool] = lambda: False,
) -> bool:
    """Send all that a receiver has not got of a run; `again`: also what it has refused before.

    The receiver has let us in: nothing is written down before. `progress` is called with the number of
    objects that are done. `enough` is asked after each image whether to stop; returns False where it was.
    Raises NotFinishedError, or PeerError and others of `jobs.errors`.
    """
    deliveries.plan(database, run_id, peer.target, kinds)
    if again:
        deliveries.reopen(database, run_id, peer.target)
    done = 0
    while True:
        left = False
        try:
            for made in make(deliveries.due(database, run_id, peer.target, kinds)):
                ended, waits = _deliver(database, run_id, peer, made, patience)
                left = left or waits
                done += ended
                progress(done)
                if enough():
                    return False
        except AwayError as error:
            if isinstance(error, NotFinishedError):
                raise
            left = True
            patience.wait(error)  # the films' source
        if not left:
            return True
        if enough():
            return False


def wait_for(peer: Peer, patience: Patience) -> None:
    """Return once a receiver has let us in; raises NotFinishedError or PeerError."""
    while True:
        try:
            peer.check()
            patience.succeed()
            return
        except AwayError as error:
            patience.wait(error)


def _deliver(database: Database, run_id: int, peer: Peer, made: Made, patience: Patience) -> tuple[int, bool]:
    """Send an image's objects; returns how many are done, and whether some have to be tried again."""
    ended, waits = 0, False
    sent: set[Object] = set()
    for result in made.objects:
        of = Object(result.kind, result.finding or "")
        if of not in made.due:
            continue
        sent.add(of)
        try:
            answer = peer.send(result)
            state = DeliveryState.SENT if answer.taken else DeliveryState.REFUSED
            status = answer.status
            patience.succeed()
        except AwayError as error:
            # The next object is tried before this one is again: the fault may be this one's.
            state, status, waits = DeliveryState.PENDING, "away", True
            away = error
        deliveries.record(
            database,
            run_id,
            peer.target,
            made.image_id,
            (of,),
            state=state,
            status=status,
            sop_instance_uid=result.sop_instance_uid,
        )
        if state == DeliveryState.PENDING:
            patience.wait(away)
        else:
            ended += 1
    missing = made.due - sent
    if missing:
        deliveries.record(
            database,
            run_id,
            peer.target,
            made.image_id,
            missing,
            state=DeliveryState.UNUSABLE,
            status=made.reason or NOT_DICOM,
        )
        ended += len(missing)
    return ended, waits
