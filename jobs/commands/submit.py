"""The command `nightread submit`: from a manifest to a committed run that workers elsewhere score."""

import typer

from jobs.commands.options import (
    BatchOption,
    FindingColumnOption,
    HeatmapsOption,
    ImageColumnOption,
    ImagesOption,
    ManifestArgument,
    ModelOption,
)
from jobs.commands.order import commit_order
from jobs.commands.session import ready
from jobs.console import note, say, warn
from jobs.dispatch.broker import Broker, BrokerAwayError
from jobs.dispatch.reconcile import top_up

app = typer.Typer()


@app.command()
def submit(
    manifest: ManifestArgument,
    images: ImagesOption,
    model: ModelOption = None,
    batch_size: BatchOption = 32,
    heatmaps: HeatmapsOption = "positive",
    image_column: ImageColumnOption = None,
    finding_column: FindingColumnOption = None,
) -> None:
    """Commit a run and print its number; workers elsewhere score it.

    Without NIGHTREAD_BROKER_URL nothing works on it until `nightread resume` is called.

    Example: nightread submit manifest.csv --images /archive
    """
    settings, database = ready()
    run_id = commit_order(
        database, settings, manifest, images, model, batch_size, heatmaps, image_column, finding_column
    )
    if settings.broker_url is None:
        note(f"no broker is configured; to score it: nightread resume {run_id}")
    else:
        try:
            top_up(database, Broker.connect(settings.broker_url.get_secret_value(), settings.tick_seconds))
        except BrokerAwayError as error:
            warn(f"committed, but not yet announced: {error}; beat will do it")
    say(str(run_id))
