"""The command `nightread worker`: a Celery process whose children score what is queued."""

import os
import signal
import time
from collections.abc import Callable
from typing import Annotated

import typer

from config.cards.model import find_model
from config.engines import EngineChoice
from config.logs import configure_logging
from config.machine import children_and_threads
from config.queues import CONTROL_QUEUE, SCORE_QUEUE, worker_name
from config.settings import load_settings
from jobs.commands.options import NEEDS_BROKER
from jobs.commands.session import open_database

app = typer.Typer()


@app.command(epilog=NEEDS_BROKER)
def worker(
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Model to load before the first batch.")
    ] = None,
    children: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Processes. Default: one per GPU, or one per core without a GPU."
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads of each process's network.")
    ] = None,
    engine: Annotated[
        EngineChoice | None,
        typer.Option(help="What runs the network. Default: NIGHTREAD_ENGINE."),
    ] = None,
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Name in Flower; without @HOST that of this machine, %h, is added."
        ),
    ] = "nightread@%h",
) -> None:
    """Start a worker: it loads a model, checks it against its card, and scores what is queued.

    SIGTERM or one Ctrl-C ends it after the batches it is working on. If it is killed, nothing is lost: leases
    expire.

    Example: NIGHTREAD_BROKER_URL=redis://:secret@queue:6379/0 nightread worker --model demo
    """
    for variable, value in (
        ("MODEL", model),
        ("CHILDREN", children),
        ("THREADS", threads),
        ("ENGINE", engine),
    ):
        if value is not None:
            # The children are new processes, which read their settings from there.
            os.environ[f"NIGHTREAD_{variable}"] = str(value)
    settings = load_settings()
    card = find_model(settings.model, settings.models).card
    open_database(settings).dispose()

    from jobs.dispatch.broker import Broker
    from workers.runtime import identity, lifecycle
    from workers.runtime.app import app as celery

    configure_logging(settings.log_level, settings.log_format)
    identity.remember(settings, card)
    # Before the children load their models, for which they might wait in vain.
    Broker(celery).wait_until_writable()
    for number, code in lifecycle.EXITS.items():
        # Celery's own shutdown would wait for children that have not finished starting.
        signal.signal(number, lambda *_, code=code: os._exit(code))
    count, _ = children_and_threads(settings)
    _run_until_stopped(
        celery.worker_main,
        [
            "worker",
            f"--concurrency={count}",
            "--pool=prefork",
            f"--queues={SCORE_QUEUE},{CONTROL_QUEUE}",
            f"--hostname={worker_name(name)}",
            f"--loglevel={settings.log_level}",
            f"--time-limit={card.longest_batch_seconds}",
            # The ledger says what there is to do; workers need not know about each other.
            "--without-mingle",
            "--without-gossip",
        ],
    )


def _run_until_stopped(work: Callable[[list[str]], None], arguments: list[str]) -> None:
    """Run a Celery worker; one that lost its broker ends its batches and starts again under the same id."""
    from workers.runtime.consumer import begin_again, lost_broker

    work(arguments)
    if lost_broker():
        time.sleep(1)  # a worker that cannot run at all must not fill the log
        begin_again()
