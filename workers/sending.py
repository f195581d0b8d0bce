"""From a due sending to results in a PACS: claimed, carried on for a turn, and given back or finished."""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from config.settings import Settings
from db import sendings
from db.database import Database
from db.deliveries import all_pictures
from db.leases import new_token
from db.receipts import Patiently
from db.scored_images import run_origin
from db.sendings import SendingClaim
from jobs.deliveries.deliver import NotFinishedError, Patience, deliver
from jobs.deliveries.kinds import KindError, kinds_of
from jobs.deliveries.peer import peer_of
from jobs.errors import AwayError, InputError
from jobs.lease import LeaseKeeper
from jobs.sources.source import open_source
from workers.outputs.dicom.deliver import maker

log = logging.getLogger(__name__)

_TURN_SECONDS: Final = 30.0
"""So long a child sends before others have their turn: batches, evaluations, and whoever stops the worker."""

_PATIENCE_SECONDS: Final = 5.0
"""Within a turn, from the last success on: objects that a receiver cannot take now do not hold up others."""


def send(database: Database, settings: Settings, sending_id: int, patiently: Patiently) -> bool:
    """Claim a sending and carry it on for a turn; returns whether it can go on at once.

    Whoever is away, or lets us in no more, is waited for: the sending is given back, and due again later.
    """
    claim = partial(sendings.claim, database, sending_id, settings.lease_seconds, new_token())
    held = patiently(claim)
    if held is None:
        log.info("sending %d is over, or leased to another; nothing to do", sending_id)
        return False
    what = f"run {held.run_id} to {held.target}"
    renew = partial(sendings.renew, database, held, settings.lease_seconds)
    ends = time.monotonic() + _TURN_SECONDS
    try:
        with LeaseKeeper(renew, settings.lease_seconds, what) as lease:
            finished = _carry_on(database, settings, held, lambda: lease.lost or time.monotonic() > ends)
    except KindError as error:
        log.warning("%s: %s", what, error)
        patiently(partial(sendings.finish, database, held, str(error)))
        return False
    except (AwayError, InputError) as error:
        told = error.__cause__ if isinstance(error, NotFinishedError) else error
        reason = " ".join(str(told).split())
        log.log(logging.DEBUG if held.waits_for else logging.WARNING, "%s: waiting: %s", what, reason)
        patiently(partial(sendings.release, database, held, reason))
        return False
    if held.waits_for:
        log.warning("%s: goes on; it waited for: %s", what, held.waits_for)
    if not finished:
        patiently(partial(sendings.release, database, held))
        return not lease.lost
    if patiently(partial(sendings.finish, database, held, _failure(database, held))):
        log.info("%s: done", what)
    return False


def _carry_on(database: Database, settings: Settings, held: SendingClaim, enough: Callable[[], bool]) -> bool:
    """Send what is left; returns whether all is done."""
    kinds, _ = kinds_of(database, held.run_id, held.kinds)
    origin = run_origin(database, held.run_id)
    with peer_of(held.target, settings, tls=held.tls) as peer:
        peer.check()
        open_source(origin.root).require()  # else each film would seem to be missing
        # A child may have no processes of its own.
        make = maker(origin, settings.max_image_pixels, settings.overlays, processes=1)
        patience = Patience(_PATIENCE_SECONDS, log.debug)
        return deliver(database, held.run_id, peer, kinds, make, patience, enough=enough)


def _failure(database: Database, held: SendingClaim) -> str | None:
    """Say why there was nothing to send, if that is so."""
    if all_pictures(database, held.run_id, held.target):
        return f"no image of run {held.run_id} is a DICOM file, so there are no DICOM results"
    return None
