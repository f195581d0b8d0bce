"""From a command's options to a committed run: its images are looked up before anything is written."""

import os
from collections.abc import Callable, Sequence

import typer

from config.cards.model import find_model
from config.settings import Settings, load_settings
from db.database import Database
from jobs.commands.bundles import bundled
from jobs.commands.folder import Counts, is_folder
from jobs.commands.options import (
    ArchiveArgument,
    ArchiveImagesOption,
    BatchOption,
    BitsOption,
    HeatmapsOption,
    MaxMissingOption,
    ModelOption,
    RequireLabelsOption,
)
from jobs.commands.reading import reads_table, say_reading
from jobs.console import err, shown, warn
from jobs.images import look_at_images
from jobs.submit import Order, commit, read_order
from jobs.tables.reading import ReadOptions


@reads_table
def _order(
    manifest: ArchiveArgument,
    read: ReadOptions,
    images: ArchiveImagesOption = None,
    model: ModelOption = None,
    batch_size: BatchOption = None,
    heatmaps: HeatmapsOption = "positive",
    require_labels: RequireLabelsOption = False,
    max_missing: MaxMissingOption = 0.01,
    bits: BitsOption = None,
) -> Order:
    """Make an order of the options."""
    name = model or load_settings().model
    if is_folder(manifest):
        root = manifest if manifest.is_dir() else manifest.parent
        if images is not None and os.path.realpath(images) != os.path.realpath(root):
            raise typer.BadParameter("a folder's files are its images; leave it out", param_hint="--images")
        images = str(root)
    elif images is None:
        raise typer.BadParameter(
            "name the folder that the names in the table are relative to", param_hint="--images"
        )
    return Order(manifest, images, name, heatmaps, batch_size, read, require_labels, max_missing, bits)


def takes_order(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what to score, and how; its argument `order` gets them."""
    return bundled(command, _order, "order", first=True)


def receipt(seen: Sequence[str], folder: Counts | None) -> dict[str, object]:
    """Return what a program reads of an order beside the manifest's reading.

    `seen`: the lines about its images. `folder`: what was found in one, if the order named one.
    """
    return {"remarks": [*seen]} | ({} if folder is None else {"folder": folder})


def commit_order(database: Database, settings: Settings, order: Order) -> tuple[int, Sequence[str]]:
    """Commit a run of a manifest, and say what was taken of it and what was seen of its images.

    Returns the run's number, and the lines about its images.

    Raises OrderError where too many of its images are not there.
    """
    with err.status(shown(f"reading {order.manifest}")) as status:
        manifest, facts = read_order(settings, order)
        seen: Sequence[str] = ()
        if find_model(order.model, settings.models).card.reads_images:
            names = [*manifest.names()]
            order, seen = look_at_images(order, names, len(names), settings.max_image_pixels)
        run_id = commit(
            database,
            order,
            manifest,
            facts,
            lambda rows: status.update(shown(f"reading {order.manifest}: {rows:,} rows")),
        )
    say_reading(manifest)
    for line in seen:
        warn(line)
    return run_id, seen
