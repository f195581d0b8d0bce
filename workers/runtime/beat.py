"""Beat, which ends whenever a signal asks it to."""

import signal
from typing import NoReturn

from celery import platforms
from celery.apps.beat import Beat
from celery.beat import Service


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
