"""Beat, which ends whenever it is asked to."""

import signal
from typing import NoReturn

from celery import platforms
from celery.apps.beat import Beat
from celery.beat import Service


class EndingBeat(Beat):  # type: ignore[misc]  # celery has no types
    """Celery's beat with another answer to SIGTERM and SIGINT.

    Celery's closes the schedule's file and raises SystemExit. Where a signal comes while something is sent,
    that may be caught and forgotten, and beat would go on, find its file closed, and end with 1.
    """

    def install_sync_handler(self, service: Service) -> None:
        """Have a signal end the loop, at the latest before the next tick; the file is closed behind it."""

        def end(_number: signal.Signals, _frame: object) -> NoReturn:
            service.stop()
            raise SystemExit

        platforms.signals.update(SIGTERM=end, SIGINT=end)
