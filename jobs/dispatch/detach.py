"""Going on without a terminal: the work of a command moves into a process with a session of its own."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from jobs.console import leave_terminal, say, warn
from jobs.dispatch.stopping import SIGNALS, output_to


def detach(log: Path, started: str) -> Callable[[], None]:
    """Return in a new process, whose output goes to `log` and which no terminal can end.

    The process that was called waits until the new one calls what is returned; then it prints `started` and
    ends with 0. If the new one ends before, it prints the log's last line and ends with the same code. What
    was claimed before is the new process's; a database must have no connection open.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        os.close(writing)
        _wait_and_end(child, reading, log, started)
    os.close(reading)
    os.setsid()
    output_to(log)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    leave_terminal()

    def say_started() -> None:
        os.write(writing, b"1")
        os.close(writing)

    return say_started


def _wait_and_end(child: int, reading: int, log: Path, started: str) -> None:
    """End this process without undoing anything: all that it claimed and made is the child's now."""
    code = 1
    try:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        if os.read(reading, 1):
            say(started)
            code = 0
        else:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            warn(f"{next((line for line in reversed(lines) if line), 'it ended')}; its log: {log}")
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code if code >= 0 else 128 - code)
