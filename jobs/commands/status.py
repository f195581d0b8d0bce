"""The command `nightread status`: the progress of the runs, read from the ledger."""

from dataclasses import asdict
from typing import Annotated

import typer

from db import queries
from jobs.commands.runs import find_run
from jobs.commands.session import NoRunsError, existing
from jobs.console import EXIT_USAGE, fail, out, print_json, print_table, say, warn
from jobs.results import print_alerts, print_changed

app = typer.Typer()


@app.command()
def status(
    run: Annotated[
        int | None,
        typer.Argument(
            metavar="[RUN]",
            parser=find_run,
            help="The run's number, or last, or the name of its model or manifest. Default: all runs.",
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show a live bar until the run ends.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per run.")] = False,
) -> None:
    """Show the progress of the runs, and the alerts of the last seven days.

    Example: nightread status 7 --follow
    """
    try:
        _, database = existing()
    except NoRunsError as error:
        if as_json:
            print_json([])
        else:
            say(str(error))
        return
    found = queries.all_progress(database) if run is None else [queries.progress(database, run)]
    if follow:
        from jobs.dispatch.follow import follow as follow_run  # noqa: PLC0415  # without --follow no live bar

        if not found:
            fail("there are no runs yet", EXIT_USAGE)
        found = [follow_run(database, found[0].run_id, out)]
    if as_json:
        print_json(
            [
                asdict(progress) | {"reading": queries.reading_of(database, progress.run_id)}
                for progress in found
            ]
        )
        return
    print_table(
        ("run", "status", "model", "images", "scored", "failed", "pending", "images/s"),
        (
            (
                progress.run_id,
                progress.status,
                progress.model,
                progress.images,
                progress.scored,
                progress.failed,
                progress.pending,
                progress.images_per_second,
            )
            for progress in found
        ),
    )
    for progress in found:
        if progress.message:
            warn(f"run {progress.run_id}: {progress.message}")
        if progress.waits_for:
            warn(f"run {progress.run_id} waits: {progress.waits_for}")
    if run is not None:
        print_changed(database, run)
    print_alerts(database)
