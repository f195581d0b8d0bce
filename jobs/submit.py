"""The producer: from a manifest and a model card to a committed run with its batches."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

from config.cards.model import find_model
from config.settings import Settings
from db import sendings
from db.database import Connection, Database
from db.manifests import ManifestRow, archive_id, find_or_write_manifest
from db.receipts import write_once
from db.runs import ModelFacts, create_run, find_or_write_model
from jobs.archive import Archive
from jobs.deliveries.receiver import Receiver
from jobs.errors import InputError
from jobs.sources.source import open_source
from jobs.tables.manifest import Manifest
from jobs.tables.place import Place, local_table
from jobs.tables.reading import ReadOptions
from jobs.tables.spellings import Vocabulary

Heatmaps = Literal["none", "positive", "all"]

MAX_MISSING: Final = 0.01
"""Share of a manifest's images that may be missing where an order does not say."""

_PROGRESS_EVERY = 1_000


class OrderError(InputError):
    """The order cannot be carried out; the message names the option."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to score, and how; `manifest` and `images` are paths, or the URIs of another source.

    `archive`: what the manifest has to be made of first; `manifest` is then a name for it, and no file.

    `batch_size`: None is by the number of images. `max_missing`: share of the manifest's images that may be
    missing. `bits`: used in 16-bit pictures, from 8 to 16; None where nobody says. `receiver`: who gets the
    results once the run is complete.
    """

    manifest: Place
    images: str | Path
    model: str
    heatmaps: Heatmaps = "positive"
    batch_size: int | None = None
    read: ReadOptions = field(default_factory=ReadOptions)
    require_labels: bool = False
    max_missing: float = MAX_MISSING
    bits: int | None = None
    archive: Archive | None = None
    receiver: Receiver | None = None


def submit(database: Database, settings: Settings, order: Order) -> int:
    """Read an order and commit a run of it; returns the run's id. Raises what its two steps raise."""
    return commit(database, order, *read_order(settings, order))


def commit(
    database: Database,
    order: Order,
    manifest: Manifest,
    facts: ModelFacts,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Validate the manifest's rows and commit a run of them in one transaction; returns the run's id.

    Nothing is sent yet and, where the manifest is wrong anywhere (TableError), nothing is written. The
    manifest's rows are stored once, no matter how often it is submitted. `progress` is called with the number
    of rows read so far.
    """

    def write(connection: Connection) -> int:
        run_id = create_run(
            connection,
            manifest_id=store_manifest(connection, order, manifest, progress),
            model_id=find_or_write_model(connection, facts),
            heatmaps=order.heatmaps,
            batch_size=order.batch_size or facts.batch_size,
            version=version("nightread"),
            bits=order.bits,
        )
        ask_to_send(connection, run_id, order.receiver)
        return run_id

    return write_once(database, write)


def ask_to_send(connection: Connection, run_id: int, receiver: Receiver | None) -> None:
    """Have a run's results sent once it is complete, if there is somebody who gets them."""
    if receiver is not None:
        sendings.ask(connection, run_id, receiver.target, receiver.kinds, tls=receiver.tls)


def read_order(settings: Settings, order: Order) -> tuple[Manifest, ModelFacts]:
    """Find what an order names: the manifest, whose rows are not checked yet, and the model.

    Raises OrderError, SourceError, TableError or ConfigError for what is not there or does not fit.
    """
    source = open_source(order.images)
    source.require()
    card = find_model(order.model, settings.models).card
    vocabulary = Vocabulary(card.findings)
    read = order.read.fetched(settings.home)
    if read.view is None and card.views is not None:
        read = read.model_copy(update={"view": card.views})
    asked = (order.read.finding_columns or {}).values()
    foreign = {word for word in asked if vocabulary.finding(word) not in card.findings}
    if foreign:
        raise OrderError(
            f"--finding-column: model {card.name} has no finding {', '.join(sorted(foreign))}; "
            f"it has: {', '.join(card.findings)}"
        )
    path = local_table(order.manifest, settings.home)
    manifest = Manifest(
        path,
        read,
        findings=card.findings,
        channels=card.channels,
        root=source.root,
        origin=order.manifest,
    )
    if order.require_labels and not manifest.labelled:
        raise OrderError(
            f"--require-labels: {order.manifest} has no known label; name the columns with --finding-column, "
            "or leave the option out"
        )
    return manifest, ModelFacts.of(card)


def store_manifest(
    connection: Connection,
    order: Order,
    manifest: Manifest,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Store an order's manifest in the archive of its images, if it is not there yet; returns its id."""
    manifest_id, _ = find_or_write_manifest(
        connection,
        archive=archive_id(connection, open_source(order.images).root),
        fingerprint=manifest.fingerprint(),
        path=manifest.origin,
        findings=manifest.findings,
        rows=_counted(manifest, progress),
        reading=manifest.reading,
        left_out=manifest.left_out,
    )
    return manifest_id


def _counted(rows: Iterable[ManifestRow], progress: Callable[[int], None]) -> Iterator[ManifestRow]:
    """Pass rows on; `progress` is called with the number so far."""
    for number, row in enumerate(rows, start=1):
        if number % _PROGRESS_EVERY == 0:
            progress(number)
        yield row
