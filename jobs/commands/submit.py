"""The command `nightread submit`: from a manifest to a committed run that workers elsewhere score."""

from typing import Annotated

import typer

from db.errors import DatabaseAwayError
from db.queries import reading_of
from jobs.commands.options import (
    BatchOption,
    BitsOption,
    HeatmapsOption,
    ImagesOption,
    ManifestArgument,
    MaxMissingOption,
    ModelOption,
    RequireLabelsOption,
)
from jobs.commands.order import commit_order
from jobs.commands.reading import reads_table
from jobs.commands.session import ready
from jobs.console import note, print_json, say, warn
from jobs.dispatch.broker import Broker, BrokerAwayError
from jobs.dispatch.reconcile import top_up
from jobs.submit import Order
from jobs.tables.reading import ReadOptions

app = typer.Typer()


@app.command()
@reads_table
def submit(
    manifest: ManifestArgument,
    images: ImagesOption,
    read: ReadOptions,
    model: ModelOption = None,
    batch_size: BatchOption = 32,
    heatmaps: HeatmapsOption = "positive",
    require_labels: RequireLabelsOption = False,
    max_missing: MaxMissingOption = 0.01,
    bits: BitsOption = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the run's number and what was taken of the manifest as JSON."),
    ] = False,
) -> None:
    """Commit a run and print its number; workers elsewhere score it.

    Without NIGHTREAD_BROKER_URL nothing works on it until `nightread resume` is called.

    Example: nightread submit manifest.csv --images /archive
    """
    settings, database = ready()
    order = Order(
        manifest,
        images,
        model or settings.model,
        heatmaps,
        batch_size,
        read,
        require_labels,
        max_missing,
        bits,
    )
    run_id = commit_order(database, settings, order)
    if settings.broker_url is None:
        note(f"no broker is configured; to score it: nightread resume {run_id}")
    else:
        try:
            top_up(database, Broker.connect(settings.broker_url.get_secret_value(), settings.tick_seconds))
        except (BrokerAwayError, DatabaseAwayError) as error:
            warn(f"committed, but not yet announced: {error}; beat will do it")
    if as_json:
        print_json({"run_id": run_id, "reading": reading_of(database, run_id)})
    else:
        say(str(run_id))
