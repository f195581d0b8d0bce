"""Beat, which ends whenever a signal asks it to."""

import logging
import signal
from typing import NoReturn

from celery import platforms
from celery.apps.beat import Beat
from celery.beat import PersistentScheduler, ScheduleEntry, SchedulingError, Service

from jobs.dispatch.away import away_reason

log = logging.getLogger(__name__)


class PatientScheduler(PersistentScheduler):
    """Celery's scheduler, which says in a line that the broker is away, and outlives its own file."""

    def setup_schedule(self) -> None:
        """Read the times of the last ticks, or begin without them where they cannot be read.

        Celery does so for some errors only. After others, as a write that was cut or an entry that another
        version had written, it ended, and so it did at each start.
        """
        try:
            super().setup_schedule()
        except OSError:
            raise  # the disk's, not the content's: a new file would meet it as well
        except Exception as error:  # noqa: BLE001  # unpickling raises whatever the content makes it
            self._store = self._destroy_open_corrupted_schedule(error)
            super().setup_schedule()

    def apply_async(self, entry: ScheduleEntry, *args: object, **kwargs: object) -> object:
        """Send a tick, or say why not: the next one is sent in its time."""
        try:
            return super().apply_async(entry, *args, **kwargs)
        except SchedulingError as error:
            reason = away_reason(error.__context__ or error, self.app.connection_for_write().as_uri())
            if reason is None:
                raise
            log.warning("%s; the next tick tries again", reason)
            return None


class EndingBeat(Beat):
    """Celery's beat with another answer to SIGTERM and SIGINT.

    Celery's closes the schedule's file and raises SystemExit. If a signal comes while something is sent, that
    may be caught and lost, and beat would go on, find its file closed, and exit with 1.
    """

    def install_sync_handler(self, service: Service) -> None:
        """Have a signal end the loop, at the latest before the next tick; the file is closed after it."""

        def end(_number: signal.Signals, _frame: object) -> NoReturn:
            service.stop()
            raise SystemExit

        platforms.signals.update(SIGTERM=end, SIGINT=end)
