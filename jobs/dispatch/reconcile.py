"""Reconcile the ledger with what died or was lost; safe to call at any time, anywhere, and concurrently."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from config.queues import MESSAGES_IN_FLIGHT
from config.settings import Settings
from db import evaluations, ledger, recovery, sendings
from db.database import Database
from db.ledger import Announcement
from db.watch import leases_may_expire
from jobs.deletion import sweep
from jobs.dispatch.broker import Broker, BrokerAwayError
from jobs.schedules import schedule as schedules
from jobs.schedules import webhook as alerts

log = logging.getLogger(__name__)


def reconcile(database: Database, broker: Broker, settings: Settings) -> None:
    """Take back expired leases, find lost messages, close finished runs, and announce what is due.

    The ledger is brought forward even if the broker is away: then BrokerAwayError is raised at the end, and
    the next call sends. The schedules come last, so that nothing waits for their manifests and webhook, and
    then the runs that are being deleted; the next call announces what the schedules start.
    """
    expired = 0
    if leases_may_expire(database, settings.lease_seconds):
        expired = recovery.expire_leases(database, settings.max_attempts)
        expired += evaluations.expire_evaluations(database, settings.max_attempts)
        expired += sendings.expire(database, settings.max_attempts)
    if expired:
        log.warning("%d leases had expired: their workers died or hung; the work is done again", expired)
    recovery.close_finished(database)
    away = None
    try:
        # A worker whose children still load their model holds messages that are no longer in the queue; only
        # after a lease's lifetime does an empty queue show that they are lost.
        patience = settings.lease_seconds
        if recovery.has_queued_before(database, patience) and broker.is_drained():
            lost = recovery.requeue_lost(database, patience)
            if lost:
                log.warning(
                    "%d batches were announced %g s ago and are in no queue: sent again", lost, patience
                )
        top_up(database, broker)
        announce_evaluations(database, broker, resend_after_seconds=settings.lease_seconds)
        announce_sendings(database, broker, resend_after_seconds=settings.lease_seconds)
    except BrokerAwayError as error:
        away = error
    now = datetime.now(UTC)
    schedules.tick(database, settings, now)
    alerts.deliver(database, settings, now)
    sweep(database, settings)
    if away is not None:
        raise away


def top_up(database: Database, broker: Broker) -> int:
    """Announce pending batches until MESSAGES_IN_FLIGHT are under way; returns how many were announced."""
    batches = ledger.take_pending(database, MESSAGES_IN_FLIGHT - ledger.count_queued(database))
    _announce(database, broker, batches)
    return len(batches)


def announce_next(database: Database, broker: Broker) -> int | None:
    """Announce one batch in place of one that ended, which keeps up the flow between reconciliations.

    Gives the number of its run, or None if no batch is left to announce.
    """
    batches = ledger.take_pending(database, 1)
    _announce(database, broker, batches)
    return batches[0].run_id if batches else None


def _announce(database: Database, broker: Broker, batches: Sequence[Announcement]) -> None:
    """Send the batches' messages; those that the broker does not take are pending again at once."""
    for place, batch in enumerate(batches):
        try:
            broker.announce([batch])
        except BrokerAwayError:
            ledger.put_back(database, [unsent.batch_id for unsent in batches[place:]])
            raise


def announce_evaluations(database: Database, broker: Broker, *, resend_after_seconds: float) -> None:
    """Announce the evaluations that are due; those that the broker does not take stay due."""
    due = evaluations.take_due(database, resend_after_seconds)
    _announce_each(due, broker.announce_evaluation, partial(evaluations.put_back, database))


def announce_sendings(database: Database, broker: Broker, *, resend_after_seconds: float) -> None:
    """Announce the sendings of results that are due; those that the broker does not take stay due."""
    due = sendings.take_due(database, resend_after_seconds)
    _announce_each(due, broker.announce_sending, partial(sendings.put_back, database))


def _announce_each(
    due: Sequence[tuple[int, int]],
    announce: Callable[[int, int], None],
    put_back: Callable[[Sequence[int]], None],
) -> None:
    """Announce what is due, as its id and its run's; `put_back` gets the ids of what was not taken."""
    for place, (row_id, run_id) in enumerate(due):
        try:
            announce(row_id, run_id)
        except BrokerAwayError:
            put_back([unsent for unsent, _ in due[place:]])
            raise
