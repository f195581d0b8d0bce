"""The command `nightread resume`: a run that stopped continues to its end."""

import typer

from db import queries, runs
from jobs.commands.options import RunArgument
from jobs.commands.session import ready
from jobs.dispatch.follow import finish, work_on

app = typer.Typer()


@app.command()
def resume(run: RunArgument) -> None:
    """Continue a run that was stopped or cancelled, and wait for its end. Nothing is scored twice.

    Example: nightread resume 7
    """
    settings, database = ready()
    if runs.resume(database, run):
        finish(database, work_on(database, settings, run))
    finish(database, queries.progress(database, run))
