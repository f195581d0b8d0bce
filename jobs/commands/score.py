"""The command `nightread score`: from a manifest to the AUC table, in one call."""

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
from jobs.dispatch.follow import finish, work_on

app = typer.Typer()


@app.command()
def score(
    manifest: ManifestArgument,
    images: ImagesOption,
    model: ModelOption = None,
    batch_size: BatchOption = 32,
    heatmaps: HeatmapsOption = "positive",
    image_column: ImageColumnOption = None,
    finding_column: FindingColumnOption = None,
) -> None:
    """Score all images of a manifest, wait for the end, and print the AUC table.

    Without NIGHTREAD_BROKER_URL it starts its own queue and workers and stops them at the end. Ctrl-C leaves
    a run that `nightread resume` continues.

    Exit code 0: every row scored; 3: complete, some images failed; 1: not complete; 2: wrong usage.

    Example: nightread score Data_Entry_2017.csv --images images/
    """
    settings, database = ready()
    run_id = commit_order(
        database, settings, manifest, images, model, batch_size, heatmaps, image_column, finding_column
    )
    finish(database, work_on(database, settings, run_id))
