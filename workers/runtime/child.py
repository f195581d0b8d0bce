"""A worker's child process: holds the database, the broker and one loaded model, and carries out tasks."""

import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from typing import Final, TypeVar

from config.cache import cache_of
from config.cards.model import find_model
from config.errors import ConfigError
from config.logs import about
from config.machine import engine_of, idle_gpu
from config.settings import Settings
from db import ledger, recovery
from db.database import Database
from db.errors import DatabaseAwayError
from db.leases import new_token
from db.ledger import Claim
from db.receipts import patiently
from jobs.dispatch.broker import Broker, BrokerAwayError
from jobs.dispatch.reconcile import (
    announce_evaluations,
    announce_next,
    announce_sendings,
    reconcile,
)
from jobs.errors import AwayError, SourceError
from jobs.lease import LeaseKeeper
from workers.errors import WrongModelError
from workers.runtime.memory import return_freed_memory
from workers.runtime.pandas_import import import_pandas
from workers.scoring.kinds import make_scorer
from workers.scoring.scorer import Scorer, ScorerOptions

log = logging.getLogger(__name__)

T = TypeVar("T")

_LONGEST_PAUSE: Final = 20.0
"""Seconds between two tries while images or disk are away: so long may a worker take that is to stop."""


class Child:
    """The state of a child process for its lifetime."""

    def __init__(self, settings: Settings, broker: Broker, threads: int) -> None:
        """Open the database after the spawn; the model is loaded by warm_up or with its first batch."""
        self._settings = settings
        self._database = Database(settings.database)
        self._broker = broker
        self._threads = threads
        self._scorer: Scorer | None = None
        self._given_back = 0
        self._name = f"{socket.gethostname()}:{os.getpid()}"

    def warm_up(self) -> None:
        """Load the model of the settings and check it, before the first batch comes."""
        self._scorer_for(self._settings.model, None)
        # The broker's client takes a second to load: now, and not between the first two batches.
        with suppress(BrokerAwayError):
            self._broker.is_drained()

    def score_batch(self, batch_id: int) -> None:
        """Claim a batch, score it and write its results; returns at once if there is nothing to claim."""
        seconds = self._settings.lease_seconds
        take = partial(ledger.claim, self._database, batch_id, self._name, seconds, token=new_token())
        held = self._patiently(take)
        if held is None:
            log.info("batch id %d is done, leased or not to be done; nothing to do", batch_id)
            return
        what = f"run {held.run_id}, batch {held.number}/{held.batches}, attempt {held.attempt}"
        renew = partial(ledger.renew, self._database, held, seconds)
        with about(worker=self._name, run=held.run_id, batch=held.number):
            try:
                with LeaseKeeper(renew, seconds, what) as lease:
                    written = self._score_held(held, what)
            except (SourceError, AwayError) as error:
                self._give_back(held, what, error)
                return
            self._given_back = 0
            if written:
                log.info("%s: done", what)
                self._go_on(held.run_id)
            elif not lease.lost:
                log.warning("%s: the lease was lost; nothing was written", what)

    def _score_held(self, held: Claim, what: str) -> bool:
        try:
            scorer = self._scorer_for(held.model, held.card_sha256)
        except ConfigError:
            # Another worker may have the right model: the batch is not at fault.
            log.exception("%s: given back", what)
            self._patiently(partial(ledger.release, self._database, held))
            raise
        try:
            outcomes = scorer.score(held)
            # Without end: no batch can be claimed meanwhile, and the lease outlasts an outage (db/watch.py).
            return patiently(partial(ledger.complete, self._database, held, outcomes, scorer.engine), inf)
        except (SourceError, AwayError):
            raise
        except Exception:
            log.exception("%s: failed and is tried again", what)
            self._patiently(partial(ledger.abandon, self._database, held))
            raise

    def _give_back(self, held: Claim, what: str, error: Exception) -> None:
        """Give a batch back whose images or whose outputs' disk are away, or not to be had from here; pause.

        Another worker may reach them, and nothing is held meanwhile.
        """
        reason = " ".join(str(error).split())
        self._patiently(partial(ledger.release, self._database, held, reason))
        log.log(logging.DEBUG if self._given_back else logging.WARNING, "%s: waiting: %s", what, reason)
        time.sleep(min(2.0**self._given_back, _LONGEST_PAUSE))
        self._given_back += 1

    def _patiently(self, action: Callable[[], T]) -> T:
        """Retry a transaction while the database is away, for as long as a lease may last."""
        return patiently(action, self._settings.lease_seconds)

    def _go_on(self, run_id: int) -> None:
        """Announce the next batch and, after a run's last one, its evaluation."""
        try:
            # A run with a batch left to announce has not ended; any other may have.
            next_run = announce_next(self._database, self._broker)
            if next_run != run_id and recovery.close_finished(self._database, run_id):
                announce_evaluations(
                    self._database, self._broker, resend_after_seconds=self._settings.lease_seconds
                )
        except (BrokerAwayError, DatabaseAwayError) as error:
            log.warning("run %d: left to the reconciler: %s", run_id, error)

    def evaluate(self, evaluation_id: int) -> None:
        """Claim an evaluation, compute it and write its rows."""
        # Here, as the statistics take a while to load and are needed only after a run's last batch.
        import_pandas()
        from workers.evaluation.figures import evaluate  # noqa: PLC0415

        with about(worker=self._name, evaluation=evaluation_id):
            held = evaluate(self._database, evaluation_id, self._settings.lease_seconds, self._patiently)
        # A large archive's arrays, and SQLite's pages: it keeps 64 MB of them per connection.
        self._database.dispose()
        return_freed_memory()
        if held is None:
            log.info("evaluation %d is done, leased or lost to another; nothing was written", evaluation_id)
        else:
            log.info("run %d, evaluation %d: done", held.run_id, evaluation_id)

    def send_results(self, sending_id: int) -> None:
        """Claim a sending and carry it on for a turn; what is left is announced at once."""
        # Here, as what makes DICOM objects takes a second to load, and most workers never send any.
        from workers.sending import send  # noqa: PLC0415

        with about(worker=self._name, sending=sending_id):
            goes_on = send(self._database, self._settings, sending_id, self._patiently)
            if goes_on:
                try:
                    announce_sendings(
                        self._database, self._broker, resend_after_seconds=self._settings.lease_seconds
                    )
                except (BrokerAwayError, DatabaseAwayError) as error:
                    log.warning("sending %d: left to the reconciler: %s", sending_id, error)

    def reconcile(self) -> None:
        """Bring the ledger forward; the next call sends what a broker that is away does not take."""
        try:
            reconcile(self._database, self._broker, self._settings)
        except BrokerAwayError as error:
            log.warning("%s", error)

    def _scorer_for(self, name: str, fingerprint: str | None) -> Scorer:
        if self._scorer is None or self._scorer.card.name != name:
            model = find_model(name, self._settings.models)
            log.info("loading model %s", name)
            self._scorer = None  # frees the other model's memory first
            options = ScorerOptions(
                engine_of(self._settings),
                self._threads,
                self._settings.overlays,
                self._settings.max_image_pixels,
                graphs=self._settings.graphs,
                cache=cache_of(self._settings),
            )
            self._scorer = make_scorer(model, options)
            log.info("model %s is ready on %s", name, self._scorer.engine)
            if idle := idle_gpu(self._scorer.engine):
                log.warning("%s", idle)
        if fingerprint not in {None, self._scorer.card.fingerprint}:
            raise WrongModelError(
                f"the run was made with another model {name} than this worker has (weights or card differ); "
                "give all machines the same model folder and start the workers again"
            )
        return self._scorer
