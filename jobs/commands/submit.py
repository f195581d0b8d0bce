"""The command `nightread submit`: from a manifest to a committed run that workers elsewhere score."""

from typing import Annotated

import typer

from db.errors import DatabaseAwayError
from db.queries import reading_of
from jobs.commands.folder import with_manifest
from jobs.commands.order import commit_order, receipt, require_order, takes_order
from jobs.commands.session import ready
from jobs.console import note, print_json, say, warn
from jobs.dispatch.broker import Broker, BrokerAwayError, BrokerError
from jobs.dispatch.reconcile import top_up
from jobs.submit import Order

app = typer.Typer()


@app.command()
@takes_order
def submit(
    order: Order,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the run's number and what was taken of the manifest as JSON."),
    ] = False,
) -> None:
    """Commit a run and print its number; workers elsewhere score it.

    Without NIGHTREAD_BROKER_URL nothing works on it until `nightread resume` is called.

    Example: nightread submit manifest.csv --images /archive

    Example: nightread submit /archive/2024 --json
    """
    settings, database = ready()
    require_order(settings, order)
    order, counts = with_manifest(settings, order)
    run_id, seen = commit_order(database, settings, order)
    if settings.broker_url is None:
        note(f"no broker is configured; to score it: nightread resume {run_id}")
    else:
        try:
            top_up(database, Broker.connect(settings.broker_url.get_secret_value(), settings.tick_seconds))
            note(f"committed, and announced to the workers; to watch it: nightread status {run_id} --follow")
        except (BrokerAwayError, BrokerError, DatabaseAwayError) as error:
            warn(f"committed, but not yet announced: {error}; beat will do it")
    if as_json:
        print_json({"run_id": run_id, "reading": reading_of(database, run_id)} | receipt(seen, counts))
    else:
        say(str(run_id))
