"""The command `nightread beat`: the clock by which the ledger is reconciled."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from config.files import make_home
from config.settings import load_settings
from jobs.commands.options import NEEDS_BROKER

app = typer.Typer()


@app.command(epilog=NEEDS_BROKER)
def beat(
    schedule: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where beat keeps the times of its ticks. Default: home/beat-schedule."
        ),
    ] = None,
) -> None:
    """Start the clock that triggers a reconciliation every few seconds; one is enough, two do no harm.

    It writes its schedule's file at every tick: as long as the file is recent, beat is alive.

    Example: NIGHTREAD_BROKER_URL=redis://:secret@queue:6379/0 nightread beat
    """
    settings = load_settings()
    import_module("workers.runtime.lifecycle")  # sets up the logging
    from workers.runtime.app import app as celery
    from workers.runtime.beat import EndingBeat, PatientScheduler

    celery.conf.beat_sync_every = 1
    with _own_schedule(schedule or settings.home / "beat-schedule") as kept:
        EndingBeat(
            app=celery, schedule=str(kept), scheduler=PatientScheduler, loglevel=settings.log_level
        ).run()


@contextmanager
def _own_schedule(wanted: Path) -> Iterator[Path]:
    """Return the schedule's file, or one for this process alone where another beat has it.

    Two beats with one file take it for corrupted, and the second removes it from under the first.
    """
    make_home(wanted.parent, "NIGHTREAD_HOME names the folder, or --schedule another file")
    with wanted.with_name(f".{wanted.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with TemporaryDirectory(prefix="nightread-beat-") as folder:
                yield Path(folder) / wanted.name
        else:
            yield wanted
