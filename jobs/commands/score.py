"""The command `nightread score`: from a manifest to the AUC table, in one call."""

import typer

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
from jobs.dispatch.follow import finish, work_on
from jobs.submit import Order
from jobs.tables.reading import ReadOptions

app = typer.Typer()


@app.command()
@reads_table
def score(
    manifest: ManifestArgument,
    images: ImagesOption,
    read: ReadOptions,
    model: ModelOption = None,
    batch_size: BatchOption = 32,
    heatmaps: HeatmapsOption = "positive",
    require_labels: RequireLabelsOption = False,
    max_missing: MaxMissingOption = 0.01,
    bits: BitsOption = None,
) -> None:
    """Score all images of a manifest, wait for the end, and print the AUC table.

    Without NIGHTREAD_BROKER_URL it starts its own queue and workers and stops them at the end. Ctrl-C leaves
    a run that `nightread resume` continues.

    Exit code 0: every row scored; 3: complete, some images failed; 1: not complete, or no image could be
    scored; 2: wrong usage.

    Example: nightread score Data_Entry_2017.csv --images images/
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
    finish(database, work_on(database, settings, run_id))
