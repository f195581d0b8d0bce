"""The command `nightread`: the commands of jobs/commands/app.py and those that need the workers' code."""

import fcntl
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Annotated, Any, NoReturn

import numpy as np
import typer

import jobs.commands.demo  # registers its command, as the next ones do
import jobs.commands.export
import jobs.commands.report
import jobs.commands.schedule  # noqa: F401
import workers.commands.evaluate
import workers.commands.import_scores
import workers.commands.models
import workers.commands.train  # noqa: F401
from config.cards.classification import ClassificationCard
from config.cards.model import find_model
from config.failures import ImageUnusableError
from config.logs import configure_logging
from config.queues import CONTROL_QUEUE, SCORE_QUEUE
from config.settings import load_settings
from db import queries
from jobs.commands.app import PANEL_ASK, PANEL_MANY, app, open_database, ready, run_cli
from jobs.console import EXIT_INCOMPLETE, EXIT_USAGE, err, fail, out
from jobs.sources.source import open_source
from workers.inference.formats.decode import read_picture
from workers.inference.region import visible_region
from workers.outputs import overlays

_CONNECTS = "Needs NIGHTREAD_BROKER_URL; the settings are listed in docs/settings.md."


@app.command(rich_help_panel=PANEL_ASK)
def heatmap(
    run: Annotated[int, typer.Argument(metavar="RUN", help="The run's number.")],
    image: Annotated[str, typer.Argument(help="The image as the manifest names it.")],
    finding: Annotated[str, typer.Option(help="The finding whose map to draw.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture to write: .png or .jpg.")],
) -> None:
    """Draw a finding's Grad-CAM over its radiograph, in full size, from the stored map.

    Example: nightread heatmap 7 00000100_000.png --finding Effusion -o effusion.png
    """
    if output.suffix.lower() not in {".png", ".jpg", ".jpeg"}:
        fail(f"{output}: the picture's name must end in .png or .jpg", EXIT_USAGE)
    settings, database = ready()
    stored = queries.stored_maps(database, run, image)
    if isinstance(stored, str):
        fail(stored, EXIT_USAGE)
    if finding not in stored.findings:
        fail(f"run {run} has no finding {finding!r}; it has: {', '.join(stored.findings)}", EXIT_USAGE)
    maps = np.frombuffer(stored.maps, dtype="<f2").reshape(stored.map_height, stored.map_width, -1)
    try:
        picture = read_picture(open_source(stored.root), image, settings.max_image_pixels)
        card = ClassificationCard.model_validate(queries.model_card(database, run))
        region = visible_region(card.pixels, picture.width, picture.height)
        map_ = maps[:, :, stored.findings.index(finding)]
        drawn = overlays.render(picture, map_, region=region)
        overlays.write_overlay(output, drawn)
    except ImageUnusableError as error:
        fail(f"{image}: {error.message}", EXIT_INCOMPLETE)
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror or error}", EXIT_INCOMPLETE)
    if not maps[:, :, stored.findings.index(finding)].any():
        err.print("the map has no positive value: nothing in the picture speaks for this finding")
    out.print(f"wrote {output}", highlight=False)


@app.command(rich_help_panel=PANEL_MANY, epilog=_CONNECTS)
def worker(
    model: Annotated[str | None, typer.Option(help="Model to load before the first batch.")] = None,
    children: Annotated[
        int | None, typer.Option(min=1, help="Processes. Default: one a GPU, else one a core.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of each process's network.")] = None,
    engine: Annotated[
        str | None, typer.Option(help="tensorflow, openvino or openvino-bf16. Default: NIGHTREAD_ENGINE.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name in Flower; %h is the host.")] = "nightread@%h",
) -> None:
    """Start a worker: it loads a model, checks it against its card, and scores what is queued.

    SIGTERM or one Ctrl-C ends it after the batches that it has. Killed, it loses nothing: leases expire.

    Example: NIGHTREAD_BROKER_URL=redis://:secret@queue:6379/0 nightread worker --model demo
    """
    for variable, value in (
        ("MODEL", model),
        ("CHILDREN", children),
        ("THREADS", threads),
        ("ENGINE", engine),
    ):
        if value is not None:
            os.environ[f"NIGHTREAD_{variable}"] = str(
                value
            )  # the children are new processes: they read it there
    settings = load_settings()
    find_model(settings.model, settings.models)
    open_database(settings).dispose()

    from workers.runtime import lifecycle  # noqa: PLC0415  # loads Celery, which the other commands do without
    from workers.runtime.app import app as celery  # noqa: PLC0415

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        # Celery's own shutdown would wait for children that have not finished starting.
        os._exit(EXIT_USAGE)

    signal.signal(lifecycle.REFUSED, end)
    count, _ = lifecycle.children_and_threads(settings)
    _until_told_to_end(
        celery,
        [
            "worker",
            f"--concurrency={count}",
            "--pool=prefork",
            f"--queues={SCORE_QUEUE},{CONTROL_QUEUE}",
            f"--hostname={name}",
            f"--loglevel={settings.log_level}",
            # The ledger tells what there is to do; workers need not know of each other.
            "--without-mingle",
            "--without-gossip",
        ],
    )


def _until_told_to_end(celery: Any, arguments: list[str]) -> None:
    """Run a Celery worker; one that lost its broker ends its batches and starts anew under the same id."""
    from celery.worker import state  # noqa: PLC0415

    celery.worker_main(arguments)
    if state.should_stop is not None or state.should_terminate is not None:
        return  # a signal, or a command from outside, told it to
    logging.getLogger(__name__).warning("the connection to the broker was lost; starting anew")
    time.sleep(1)  # a worker that cannot run at all shall not fill the log
    os.execv(sys.executable, [sys.executable, "-m", "workers.commands.main", *sys.argv[1:]])  # noqa: S606  # ourselves


@app.command(rich_help_panel=PANEL_MANY, epilog=_CONNECTS)
def beat(
    schedule: Annotated[
        Path | None, typer.Option(help="Where beat keeps the times of its ticks. Default: home/beat-schedule")
    ] = None,
) -> None:
    """Start the clock that has the ledger reconciled every few seconds; one is enough, two do no harm.

    Its schedule's file is written at every tick: while the file is fresh, beat lives.
    """
    settings = load_settings()
    from workers.runtime import lifecycle  # noqa: F401, PLC0415  # sets the logging up
    from workers.runtime.app import app as celery  # noqa: PLC0415
    from workers.runtime.beat import EndingBeat  # noqa: PLC0415

    celery.conf.beat_sync_every = 1
    with _own_schedule(schedule or settings.home / "beat-schedule") as kept:
        EndingBeat(app=celery, schedule=str(kept), loglevel=settings.log_level).run()


@contextmanager
def _own_schedule(wanted: Path) -> Iterator[Path]:
    """Give the schedule's file, or one for this process alone where another beat has it.

    Two in one file take it for corrupted, and the second removes it under the first.
    """
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with wanted.with_name(f".{wanted.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with TemporaryDirectory(prefix="nightread-beat-") as folder:
                yield Path(folder) / wanted.name
        else:
            yield wanted


@app.command(rich_help_panel=PANEL_MANY, epilog=_CONNECTS)
def flower(
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 5555,
) -> None:
    """Start Flower, read-only: workers, tasks with run and batch, and times, in a browser.

    It asks for NIGHTREAD_FLOWER_USER and NIGHTREAD_FLOWER_PASSWORD; without a password it listens on this
    machine only. Its /metrics and /healthcheck answer without one.
    """
    settings = load_settings()
    password = settings.flower_password.get_secret_value() if settings.flower_password else ""
    if not password and address not in {"127.0.0.1", "localhost", "::1"}:
        fail("NIGHTREAD_FLOWER_PASSWORD is not set; without it Flower listens on 127.0.0.1 only", code=2)
    credentials = f"{settings.flower_user}:{password}"
    if not credentials.isascii():
        # Flower would answer everybody with an error: it can compare nothing else.
        fail("NIGHTREAD_FLOWER_USER and NIGHTREAD_FLOWER_PASSWORD must be ASCII", code=2)
    configure_logging(settings.log_level)
    from flower.options import default_options  # noqa: PLC0415  # no types

    from workers.runtime.app import app as celery  # noqa: PLC0415

    if password:
        # Neither on the command line, which every list of processes shows, nor in FLOWER_BASIC_AUTH, where
        # a comma would part it into two passwords that are both let in.
        os.environ.pop("FLOWER_BASIC_AUTH", None)
        default_options.basic_auth = [credentials]
    arguments = [f"--address={address}", f"--port={port}", "--read_only=True"]
    # Flower leaves the arguments out, where run and batch stand.
    arguments += ["--tasks_columns=args,state,worker,received,started,runtime,name"]
    # No settings from a file that happens to lie in this folder; the log is ours.
    celery.start(["flower", *arguments, f"--conf={os.devnull}", "--logging=none"])


def main() -> None:
    """Run the command line."""
    run_cli()


if __name__ == "__main__":
    main()
