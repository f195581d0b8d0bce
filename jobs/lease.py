"""Renewing a lease in a thread while what it is for is worked on."""

import logging
from collections.abc import Callable
from contextvars import copy_context
from threading import Event, Thread
from types import TracebackType
from typing import Final, Self

from db.database import DriverError
from db.errors import DatabaseAwayError

log = logging.getLogger(__name__)

_AGAIN_SECONDS: Final = 2.0
"""The pause after a renewal that failed: once the database is back, little of the lease may be left."""


class LeaseKeeper:
    """Renews a lease three times per lifetime until the `with` block ends; `lost` says if it was lost."""

    def __init__(self, renew: Callable[[], bool], lease_seconds: float, what: str) -> None:
        """`renew` returns whether the lease is still held; `what` names it in the log."""
        self._renew = renew
        self._interval = lease_seconds / 3
        self._what = what
        self._ended = Event()
        self._thread = Thread(target=copy_context().run, args=(self._run,), name="lease", daemon=True)
        self.lost = False

    def _run(self) -> None:
        pause = self._interval
        while not self._ended.wait(pause):
            pause = self._interval
            try:
                held = self._renew()
            except (DatabaseAwayError, DriverError) as error:
                # If the lease is taken back meanwhile, the write at the end is refused.
                log.warning("%s: the lease could not be renewed: %s", self._what, error)
                pause = min(self._interval, _AGAIN_SECONDS)
                continue
            if not held:
                log.warning("%s: the lease was lost; its results will not be written", self._what)
                self.lost = True
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
