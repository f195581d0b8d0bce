"""The command `nightread cancel`: no further batch of a run is started."""

import typer

from db import queries, runs
from jobs.commands.options import RunArgument
from jobs.commands.session import existing
from jobs.console import EXIT_USAGE, fail, say

app = typer.Typer()


@app.command()
def cancel(run: RunArgument) -> None:
    """Stop a run; batches in progress are finished, and `nightread resume` continues it.

    Example: nightread cancel 7
    """
    _, database = existing()
    if not runs.cancel(database, run):
        fail(f"run {run} is {queries.progress(database, run).status}, not running", EXIT_USAGE)
    say(f"run {run} is cancelled; to go on: nightread resume {run}")
