"""The inventory of an archive without a manifest, of whichever kind, and the manifest that is kept of it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

from config.files import write_whole
from config.settings import Settings
from jobs.archive import Archive
from jobs.dicomweb.service import DicomWeb
from jobs.inventory.dicomweb import Search, day_of, modalities_of, search_inventory
from jobs.inventory.inventory import Choice, Inventory, take_inventory
from jobs.inventory.objects import store_inventory
from jobs.inventory.tables import manifest_csv, skipped_csv
from jobs.sources.dicomweb import THREADS
from jobs.sources.objects import ObjectSource
from jobs.tables.place import hash_name, manifests_folder


class KeptManifest(NamedTuple):
    """The files of an inventory in the home folder. `manifest` is there only if it has films."""

    manifest: Path
    skipped: Path


def today_of(now: datetime) -> date:
    """Return the day that it is here, in the machine's own time, as studies are dated."""
    return now.astimezone().date()


def search_of(archive: Archive, today: date, not_after: date | None = None) -> Search:
    """Return the search in a service that an archive's options ask for.

    `not_after`: it begins at the latest on this day, whatever is asked for. Raises SearchError.
    """
    since = day_of(archive.since, today, "--since") if archive.since else None
    search = Search(
        min(since, not_after) if since and not_after else since,
        day_of(archive.until, today, "--until") if archive.until else None,
    )
    return replace(search, modalities=modalities_of(archive.modality)) if archive.modality else search


def inventory_of(
    settings: Settings,
    archive: Archive,
    choice: Choice,
    today: date,
    at_once: int | None = None,
    found: Callable[[int], None] = lambda _: None,
    looked: Callable[[int, int], None] = lambda _, __: None,
    not_after: date | None = None,
) -> Inventory:
    """Take the inventory of a folder, a DICOMDIR, a bucket or a service.

    `at_once`: processes that read files, or requests to a store or service; the default is one per core, or
    as many as a usual one bears. `not_after`: as in `search_of`. Raises SourceError, SourceAwayError,
    SearchError or DirectoryError.
    """
    if archive.is_service:
        service = DicomWeb(archive.place, settings)
        return search_inventory(
            service, search_of(archive, today, not_after), choice, at_once or THREADS, found, looked
        )
    if archive.is_store:
        return store_inventory(ObjectSource(archive.place), choice, at_once, found, looked)
    own = (settings.home, settings.overlays, settings.models)
    return take_inventory(Path(archive.place), replace(choice, own=own), at_once, found, looked)


def keep_manifest(settings: Settings, inventory: Inventory) -> KeptManifest:
    """Write an inventory into the home folder; OSError where that cannot be written.

    Its name is its content's hash: the manifest of an archive in which nothing has changed is the same file,
    and the same rows in the database.
    """
    manifest, skipped = manifest_csv(inventory), skipped_csv(inventory)
    name, folder = hash_name(manifest + skipped), manifests_folder(settings.home)
    kept = KeptManifest(folder / f"{name}.csv", folder / f"{name}.skipped.csv")
    write_whole(kept.skipped, skipped)
    if inventory.films:
        write_whole(kept.manifest, manifest)
    return kept
