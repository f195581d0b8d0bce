"""Scoring an archive without a manifest: one is made, kept in the home folder, and scored like any other."""

from dataclasses import replace

from config.cards.model import find_model
from config.settings import Settings
from jobs.console import EXIT_INCOMPLETE, fail, note
from jobs.submit import Order, OrderError

Counts = dict[str, object]
"""What was found in an archive, as JSON's types."""


def with_manifest(settings: Settings, order: Order) -> tuple[Order, Counts | None]:
    """Make the manifest of an order that names an archive; returns the order of it, and what was found.

    Any other order is returned as it is. Patients are pseudonyms. Raises OrderError where nothing is to
    score, and what taking an inventory raises.
    """
    if order.archive is None:
        return order, None
    find_model(order.model, settings.models)  # before what may take long
    # pydicom takes a sixth of a second to import, which other orders need not pay.
    from jobs.commands.inventory import look_into, say_inventory  # noqa: PLC0415
    from jobs.inventory.archive import keep_manifest  # noqa: PLC0415
    from jobs.inventory.inventory import Choice  # noqa: PLC0415

    inventory = look_into(settings, order.archive, Choice(any_view=order.read.view == "all"))
    inventory = inventory.identified(settings.home, "hash", "keep")
    say_inventory(inventory)
    try:
        kept = keep_manifest(settings, inventory)
    except OSError as error:
        fail(f"{settings.home}/manifests: cannot be written: {error.strerror or error}", EXIT_INCOMPLETE)
    if not inventory.films:
        raise OrderError(
            f"{order.archive.place}: none of its files is a frontal radiograph; {kept.skipped} says why"
        )
    note(f"its manifest: {kept.manifest}; what is not in it: {kept.skipped}")
    counts: Counts = {
        "found": inventory.found,
        "kept": len(inventory.films),
        "skipped": inventory.reasons(),
        "manifest": str(kept.manifest),
        "skipped_files": str(kept.skipped),
    }
    return replace(order, manifest=kept.manifest, archive=None), counts
