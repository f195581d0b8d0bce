"""The command `nightread flower`: Flower over our queue, read-only."""

import os
from typing import Annotated

import typer

from config.logs import configure_logging
from config.settings import load_settings
from jobs.commands.options import NEEDS_BROKER
from jobs.console import EXIT_USAGE, fail

app = typer.Typer()


@app.command(epilog=NEEDS_BROKER)
def flower(
    address: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="PORT", help="Port to listen on.")] = 5555,
) -> None:
    """Start Flower, read-only: workers, tasks with run and batch, and times, in a browser.

    It asks for NIGHTREAD_FLOWER_USER and NIGHTREAD_FLOWER_PASSWORD; without a password it listens on this
    machine only. Its /metrics and /healthcheck answer without one.

    Example: NIGHTREAD_BROKER_URL=redis://:secret@queue:6379/0 nightread flower --port 8080
    """
    settings = load_settings()
    password = settings.flower_password.get_secret_value() if settings.flower_password else ""
    if not password and address not in {"127.0.0.1", "localhost", "::1"}:
        fail("NIGHTREAD_FLOWER_PASSWORD is not set; without it Flower listens on 127.0.0.1 only", EXIT_USAGE)
    credentials = f"{settings.flower_user}:{password}"
    if not credentials.isascii():
        # Flower would answer everybody with an error: it can compare only ASCII.
        fail("NIGHTREAD_FLOWER_USER and NIGHTREAD_FLOWER_PASSWORD must be ASCII", EXIT_USAGE)
    configure_logging(settings.log_level, settings.log_format)
    from flower.options import default_options

    from workers.runtime.app import app as celery

    if password:
        # Neither on the command line, which every list of processes shows, nor in FLOWER_BASIC_AUTH, where
        # a comma would split it into two passwords that are both accepted.
        os.environ.pop("FLOWER_BASIC_AUTH", None)
        default_options.basic_auth = [credentials]
    arguments = [f"--address={address}", f"--port={port}", "--read_only=True"]
    # Flower would leave out the arguments, which name run and batch.
    arguments += ["--tasks_columns=args,state,worker,received,started,runtime,name"]
    # No settings from a file that happens to lie in this folder; the log is ours.
    celery.start(["flower", *arguments, f"--conf={os.devnull}", "--logging=none"])
