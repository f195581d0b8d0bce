"""From a command's options to a committed run: its images are looked up before anything is written."""

from collections.abc import Callable, Sequence

import typer

from config.cards.model import find_model
from config.settings import Settings, load_settings
from db.database import Database
from jobs.archive import Archive
from jobs.commands.bundles import bundled
from jobs.commands.folder import Counts
from jobs.commands.options import (
    ArchiveArgument,
    ArchiveImagesOption,
    BatchOption,
    BitsOption,
    HeatmapsOption,
    MaxMissingOption,
    ModalityOption,
    ModelOption,
    RequireLabelsOption,
    SinceOption,
    UntilOption,
    archive_of,
)
from jobs.commands.reading import reads_table, say_reading
from jobs.commands.receiver import FormatsOption, SendToOption, TlsOption, receiver_of
from jobs.console import err, shown, warn
from jobs.deliveries.receiver import require_receiver
from jobs.images import look_at_images
from jobs.sources.source import open_source
from jobs.submit import MAX_MISSING, Order, commit, read_order
from jobs.tables.place import place_of
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
    max_missing: MaxMissingOption = MAX_MISSING,
    bits: BitsOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    modality: ModalityOption = None,
    send_to: SendToOption = None,
    formats: FormatsOption = None,
    tls: TlsOption = False,
) -> Order:
    """Make an order of the options."""
    archive = archive_of(manifest, since, until, modality)
    return Order(
        place_of(manifest),
        images_of(archive, images),
        model or load_settings().model,
        heatmaps,
        batch_size,
        read,
        require_labels,
        max_missing,
        bits,
        archive,
        receiver_of(send_to, formats, tls=tls),
    )


def images_of(archive: Archive | None, images: str | None) -> str:
    """Return the root of an order's images: the archive's own, or what --images says of a table's."""
    if archive is None:
        if images is None:
            raise typer.BadParameter(
                "name the folder that the names in the table are relative to", param_hint="--images"
            )
        return images
    if images is not None and open_source(images).root != open_source(archive.images).root:
        raise typer.BadParameter("an archive's files are its images; leave it out", param_hint="--images")
    return archive.images


def takes_order(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what to score, and how; its argument `order` gets them."""
    return bundled(command, _order, "order", first=True)


def require_order(settings: Settings, order: Order) -> None:
    """Raise what is wrong with an order's model or receiver, before its images are looked for."""
    card = find_model(order.model, settings.models).card
    require_receiver(order.receiver, settings, order.heatmaps, card)


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
