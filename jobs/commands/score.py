"""The command `nightread score`: from a manifest to the AUC table, in one call."""

from typing import Annotated

import typer

from config.settings import Settings
from db import queries
from db.database import Database
from db.states import RunStatus
from jobs.commands.folder import with_manifest
from jobs.commands.options import DetachOption
from jobs.commands.order import commit_order, receipt, takes_order
from jobs.commands.session import ready
from jobs.console import print_json, warn
from jobs.deliveries.sending import require_receiver, send_run
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
    send_to: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Send the results into a PACS at the end, as `nightread send` does: TITLE@HOST:PORT or "
            "dicomweb+https://HOST/PATH.",
        ),
    ] = None,
) -> None:
    """Score all images of a manifest or folder, wait for the end, and print the AUC table.

    Without NIGHTREAD_BROKER_URL it starts its own queue and workers and stops them at the end. Ctrl-C, a
    termination and a closed terminal leave a run that `nightread resume` continues; with --detach it goes on
    by itself.

    Exit code 0: every row scored; 3: complete, some images failed; 1: not complete, or no image could be
    scored; 2: wrong usage. With --send-to also as `nightread send`, where all rows were scored.

    Example: nightread score Data_Entry_2017.csv --images images/

    Example: nightread score /archive/2024

    Example: nightread score manifest.csv --images /archive --json > outcome.json
    """
    if detach and as_json:
        raise typer.BadParameter(
            "returns before there is an outcome; leave out --json", param_hint="--detach"
        )
    settings, database = ready()
    if send_to is not None:
        require_receiver(send_to, settings)
    with claimed(database, settings) as place:
        order, counts = with_manifest(settings, order)
        run_id, seen = commit_order(database, settings, order)
        _warn(settings, database, run_id)
        ended = place.work_on(run_id, detach=detach)
    unsent = 0
    if send_to is not None and ended.status == RunStatus.COMPLETE:
        unsent = send_run(run_id, send_to, beside_json=as_json)
    if as_json:
        print_json({**outcome(database, ended), **receipt(seen, counts)})
        raise SystemExit(exit_code(ended) or unsent)
    try:
        finish(database, ended, place)
    except SystemExit as end:
        raise SystemExit(end.code or unsent) from None


def _warn(settings: Settings, database: Database, run_id: int) -> None:
    """Say what may stop the night, of what can be asked in milliseconds."""
    night = Night(settings, queries.progress(database, run_id).images)
    for verdict in examine(night, CHEAP):
        if verdict.state in {State.WARNING, State.FAULT}:
            warn(f"{verdict.name}: {verdict.seen}; to do: {verdict.advice}")
