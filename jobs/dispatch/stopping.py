"""Stopping a command that works on a run: Ctrl-C, a termination and a closed terminal take one path."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopping:
    """Raises KeyboardInterrupt at each of these signals, and remembers it.

    One raised in a finalizer is printed by Python and forgotten; `check` then raises it again.
    """

    def __init__(self, log: Path) -> None:
        """Use `log` for what is said once the terminal is closed."""
        self._log = log
        self._came = False

    def __call__(self, number: int, _frame: FrameType | None) -> NoReturn:
        """Handle a signal."""
        self._came = True
        if number == signal.SIGHUP:
            output_to(self._log)
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came."""
        if self._came:
            raise KeyboardInterrupt


@contextmanager
def stopping(log: Path) -> Iterator[Stopping]:
    """Handle the signals within the block; one that was ignored before, as by nohup, still is."""
    handler = Stopping(log)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handled in before.items():
        if handled is not signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield handler
    finally:
        for number, handled in before.items():
            signal.signal(number, handled)


def output_to(log: Path) -> None:
    """Send all further output to a file: that of a closed terminal fails, and with it what is still to do."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)
