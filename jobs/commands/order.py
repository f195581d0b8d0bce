"""From a command's options to a committed run: its images are looked up before anything is written."""

from collections.abc import Callable

from config.cards.model import find_model
from config.settings import Settings, load_settings
from db.database import Database
from jobs.commands.bundles import bundled
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
from jobs.commands.reading import reads_table, say_reading
from jobs.console import err, warn
from jobs.images import look_at_images
from jobs.submit import Order, commit, read_order
from jobs.tables.reading import ReadOptions


@reads_table
def _order(
    manifest: ManifestArgument,
    images: ImagesOption,
    read: ReadOptions,
    model: ModelOption = None,
    batch_size: BatchOption = 32,
    heatmaps: HeatmapsOption = "positive",
    require_labels: RequireLabelsOption = False,
    max_missing: MaxMissingOption = 0.01,
    bits: BitsOption = None,
) -> Order:
    """Make an order of the options."""
    name = model or load_settings().model
    return Order(manifest, images, name, heatmaps, batch_size, read, require_labels, max_missing, bits)


def takes_order(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what to score, and how; its argument `order` gets them."""
    return bundled(command, _order, "order", first=True)


def commit_order(database: Database, settings: Settings, order: Order) -> int:
    """Commit a run of a manifest, and say what was taken of it; returns the run's number.

    Raises OrderError where too many of its images are not there.
    """
    with err.status(f"reading {order.manifest}") as status:
        manifest, facts = read_order(settings, order)
        said: tuple[str, ...] = ()
        if find_model(order.model, settings.models).card.reads_images:
            names = [row.image_index for row in manifest]
            order, said = look_at_images(order, names, len(names), settings.max_image_pixels)
        run_id = commit(
            database,
            order,
            manifest,
            facts,
            lambda rows: status.update(f"reading {order.manifest}: {rows:,} rows"),
        )
    say_reading(manifest)
    for line in said:
        warn(line)
    return run_id
