"""Scoring a folder without a manifest: one is made, kept in the home folder, and scored like any other."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Final

from config.cards.model import find_model
from config.files import write_whole
from config.settings import Settings
from jobs.console import EXIT_INCOMPLETE, fail, note
from jobs.submit import Order, OrderError

Counts = dict[str, object]
"""What was found in a folder, as JSON's types."""

_DICOMDIR: Final = "DICOMDIR"
_LETTERS: Final = 16


def is_folder(path: Path) -> bool:
    """Return whether an order's manifest has yet to be made: of a folder, or of a DICOMDIR (PS3.10 8.6)."""
    return path.is_dir() or path.name.upper() == _DICOMDIR


def with_manifest(settings: Settings, order: Order) -> tuple[Order, Counts | None]:
    """Make the manifest of an order that names a folder; returns the order of it, and what was found.

    Any other order is returned as it is. The manifest's name is its content's hash: that of a folder in which
    nothing has changed is the same file, and the same rows in the database. Patients are pseudonyms. Raises
    OrderError where nothing is to score, and what taking an inventory raises.
    """
    if not is_folder(order.manifest):
        return order, None
    find_model(order.model, settings.models)  # before what may take long
    # pydicom takes a sixth of a second to import, which other orders need not pay.
    from jobs.commands.inventory import look_into, say_inventory  # noqa: PLC0415
    from jobs.inventory.tables import manifest_csv, skipped_csv  # noqa: PLC0415

    inventory = look_into(settings, order.manifest, any_view=order.read.view == "all")
    inventory = inventory.identified(settings.home, "hash", "keep")
    say_inventory(inventory)
    manifest, skipped = manifest_csv(inventory), skipped_csv(inventory)
    name = hashlib.sha256(manifest + skipped).hexdigest()[:_LETTERS]
    folder = settings.home.absolute() / "manifests"
    path, beside = folder / f"{name}.csv", folder / f"{name}.skipped.csv"
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
        write_whole(beside, skipped)
        if inventory.films:
            write_whole(path, manifest)
    except OSError as error:
        fail(f"{folder}: cannot be written: {error.strerror or error}", EXIT_INCOMPLETE)
    if not inventory.films:
        raise OrderError(f"{order.manifest}: none of its files is a frontal radiograph; {beside} says why")
    note(f"its manifest: {path}; what is not in it: {beside}")
    counts: Counts = {
        "found": inventory.found,
        "kept": len(inventory.films),
        "skipped": inventory.reasons(),
        "manifest": str(path),
        "skipped_files": str(beside),
    }
    return replace(order, manifest=path), counts
