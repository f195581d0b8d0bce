"""Beat ends when it is asked to, whatever it is at."""

import dbm.dumb
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from celery import Celery
from celery.beat import PersistentScheduler

from workers.runtime.beat import EndingBeat, PatientScheduler


@pytest.fixture(autouse=True)
def _our_signals_afterwards() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


class Interrupted(PersistentScheduler):  # type: ignore[misc]
    """Is asked to end in the middle of its first tick, where the exception is caught by somebody else."""

    ticks = 0

    def tick(self) -> float:
        self.ticks += 1
        assert self.ticks == 1, "it goes on"
        with suppress(SystemExit):
            os.kill(os.getpid(), signal.SIGTERM)
        # As Celery's tick does: this needs the schedule's file.
        assert self.schedule is not None
        return 0.01


def test_a_signal_in_the_middle_of_a_tick_ends_beat_after_it(tmp_path: Path) -> None:
    app = Celery("nightread", broker="memory://", set_as_current=False)
    beat = EndingBeat(
        app=app, schedule=str(tmp_path / "beat-schedule"), scheduler=Interrupted, quiet=True, loglevel="ERROR"
    )
    beat.setup_logging = lambda: None
    beat.start_scheduler()
    assert list(tmp_path.glob("beat-schedule*"))


@pytest.mark.parametrize(
    "stored", [b"", b"cgone\nEntry\n."], ids=["a write that was cut", "an entry that another version wrote"]
)
def test_a_schedule_file_that_cannot_be_read_is_begun_again(tmp_path: Path, stored: bytes) -> None:
    file = str(tmp_path / "beat-schedule")
    with dbm.dumb.open(file, "c") as kept:
        kept["entries"] = stored
    app = Celery("nightread", broker="memory://", set_as_current=False)
    app.conf.beat_schedule = {"tick": {"task": "tick", "schedule": 10.0}}
    for _ in range(2):
        scheduler = PatientScheduler(app=app, schedule_filename=file)
        assert "tick" in scheduler.schedule
        scheduler.close()
