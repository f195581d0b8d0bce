"""The commands `nightread health`: is a worker or beat well? For what watches over processes."""

from pathlib import Path
from typing import Annotated

import typer

from config.queues import worker_name
from config.settings import Settings
from jobs.commands.options import NEEDS_BROKER
from jobs.commands.session import quiet_settings
from jobs.console import EXIT_INCOMPLETE, EXIT_USAGE, fail, say
from jobs.dispatch.broker import Broker
from jobs.monitoring import health
from jobs.monitoring.health import Health

app = typer.Typer(
    help="Check whether a worker or beat is healthy: exit code 0 or 1, and one line.", no_args_is_help=True
)

ReadyOption = Annotated[
    bool, typer.Option("--ready", help="Ask whether it can work now, not only whether it is alive.")
]


@app.command(epilog=NEEDS_BROKER)
def worker(
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Its name, as `nightread worker --name`; without @HOST on this machine, whose name is %h.",
        ),
    ] = "nightread@%h",
    timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="How long it may take to answer.")
    ] = 10.0,
    ready: ReadyOption = False,
) -> None:
    """Ask a worker through the broker; it answers while its children score.

    It is ready when its children have loaded their model. While the broker is away it counts as alive, since
    it waits: do not restart it for that.

    Example: nightread health worker --ready
    """
    broker, _ = _broker()
    _end(health.worker(broker, worker_name(name), timeout, ready=ready))


@app.command(epilog=NEEDS_BROKER)
def beat(
    schedule: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Beat's file, as `nightread beat --schedule` has it."),
    ] = None,
    ready: ReadyOption = False,
) -> None:
    """Look at the file that beat writes at each tick, on its own machine.

    It is ready when the broker takes its ticks.

    Example: nightread health beat
    """
    broker, settings = _broker()
    _end(health.beat(broker, schedule or settings.home / "beat-schedule", settings, ready=ready))


def _broker() -> tuple[Broker, Settings]:
    settings = quiet_settings()
    if settings.broker_url is None:
        fail("NIGHTREAD_BROKER_URL is not set: without it score has workers of its own", EXIT_USAGE)
    return Broker.connect(settings.broker_url.get_secret_value(), settings.tick_seconds), settings


def _end(found: Health) -> None:
    if not found.well:
        fail(found.line, EXIT_INCOMPLETE)
    say(found.line)
