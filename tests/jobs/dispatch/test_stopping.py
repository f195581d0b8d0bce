"""Signals that stop a command: one path for all, none forgotten, and what was ignored before still is."""

import os
import signal
from pathlib import Path

import pytest

from jobs.dispatch.stopping import SIGNALS, stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts_and_is_remembered(tmp_path: Path, number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with stopping(tmp_path / "stopped.log") as stop:
        stop.check()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        # As if Python had only printed it.
        with pytest.raises(KeyboardInterrupt):
            stop.check()
    assert [signal.getsignal(each) for each in SIGNALS] == before
    assert not (tmp_path / "stopped.log").exists(), "the terminal is there"


def test_what_was_ignored_before_still_is(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping(tmp_path / "stopped.log") as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            stop.check()
    finally:
        signal.signal(signal.SIGHUP, before)
