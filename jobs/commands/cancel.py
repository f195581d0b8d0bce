"""The command `nightread cancel`: no further batch of a run is started."""

import typer

from db import queries, runs, sendings
from jobs.commands.options import RunArgument
from jobs.commands.session import existing
from jobs.console import EXIT_USAGE, fail, say

app = typer.Typer()


@app.command()
def cancel(run: RunArgument) -> None:
    """Stop a run; batches in progress are finished, and `nightread resume` continues it.

    Of a complete run whose results are being sent it stops the sending, which `nightread send` continues.

    Example: nightread cancel 7
    """
    _, database = existing()
    if runs.cancel(database, run):
        say(f"run {run} is cancelled; to go on: nightread resume {run}")
    elif sendings.cancel(database, run):
        say(f"no more results of run {run} are sent; to go on: nightread send {run} --to ADDRESS")
    else:
        fail(f"run {run} is {queries.progress(database, run).status}, not running", EXIT_USAGE)
