"""The command `nightread failures`: why images of a run have no result."""

from dataclasses import asdict
from typing import Annotated

import typer

from db import queries
from jobs.commands.options import RunArgument
from jobs.commands.session import existing
from jobs.console import note, print_json, print_table, say
from jobs.kinds.known import noun_of

app = typer.Typer()


@app.command()
def failures(
    run: RunArgument,
    names: Annotated[
        int, typer.Option(min=1, max=10_000, metavar="N", help="How many names to show per reason.")
    ] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per reason.")] = False,
) -> None:
    """Show why images or cases of a run have no result: reasons, counts and examples.

    docs/failures.md says what to do about each reason.

    Example: nightread failures 7 --names 20
    """
    _, database = existing()
    progress = queries.progress(database, run)
    noun = noun_of(database, run)
    groups = queries.failure_reasons(database, run, names)
    if as_json:
        print_json([asdict(group) for group in groups])
        return
    if not groups:
        say(f"run {run} is {progress.status}: no {noun} has failed")
        return
    print_table(
        ("stage", "reason", f"{noun}s", "first of them"),
        ((group.stage, group.reason, group.images, "\n".join(group.first)) for group in groups),
        title=f"run {run}: {progress.failed:,} of {progress.images:,} {noun}s have failed",
    )
    note(f"once their cause is mended: nightread resume {run} --failed")
