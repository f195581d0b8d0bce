"""The command `nightread score`: from a manifest to the AUC table, in one call."""

from typing import Annotated

import typer

from config.settings import Settings
from db import queries
from db.database import Database
from jobs.commands.folder import with_manifest
from jobs.commands.options import DetachOption
from jobs.commands.order import commit_order, receipt, require_order, takes_order
from jobs.commands.session import ready
from jobs.console import print_json, warn
from jobs.dispatch.follow import claimed, exit_code, finish
from jobs.doctor.checks import CHEAP, examine
from jobs.doctor.verdict import Night, State
from jobs.results import outcome
from jobs.submit import Order

app = typer.Typer()


@app.command()
@takes_order
def score(
    order: Order,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print the outcome as one JSON object: progress, what was read and what not, AUC, failures.",
        ),
    ] = False,
    detach: DetachOption = False,
) -> None:
    """Score all images of a manifest or folder, wait for the end, and print the AUC table.

    Without NIGHTREAD_BROKER_URL it starts its own queue and workers and stops them at the end. Ctrl-C, a
    termination and a closed terminal leave a run that `nightread resume` continues; with --detach it goes on
    by itself.

    Exit code 0: every row scored; 3: complete, some images failed; 1: not complete, or no image could be
    scored; 2: wrong usage. With --send-to it waits until the results are sent; 3 also where the receiver
    refused some, 1 where none could be sent.

    Example: nightread score Data_Entry_2017.csv --images images/

    Example: nightread score /archive/2024

    Example: nightread score manifest.csv --images /archive --json > outcome.json
    """
    if detach and as_json:
        raise typer.BadParameter(
            "returns before there is an outcome; leave out --json", param_hint="--detach"
        )
    settings, database = ready()
    require_order(settings, order)
    with claimed(database, settings) as place:
        order, counts = with_manifest(settings, order)
        run_id, seen = commit_order(database, settings, order)
        _warn(settings, database, run_id)
        ended = place.work_on(run_id, detach=detach)
    if as_json:
        print_json({**outcome(database, ended), **receipt(seen, counts)})
        raise SystemExit(exit_code(database, ended))
    finish(database, ended, place)


def _warn(settings: Settings, database: Database, run_id: int) -> None:
    """Say what may stop the night, of what can be asked in milliseconds."""
    run = queries.progress(database, run_id)
    night = Night(settings.model_copy(update={"model": run.model}), run.images)
    for verdict in examine(night, CHEAP):
        if verdict.state in {State.WARNING, State.FAULT}:
            warn(f"{verdict.name}: {verdict.seen}; to do: {verdict.advice}")
