"""From an order to a committed run: its images are looked up before anything is written."""

import math
from typing import Final

from config.cards.model import find_model
from config.settings import Settings
from db.database import Database
from jobs.commands.reading import say_reading
from jobs.console import err, warn
from jobs.sources.source import open_source
from jobs.submit import Order, OrderError, commit, read_order
from jobs.tables.manifest import Manifest

_EXAMPLES: Final = 5


def commit_order(database: Database, settings: Settings, order: Order, max_missing: float) -> int:
    """Commit a run of a manifest, and say what was taken of it; returns the run's number.

    Raises OrderError where more than `max_missing` (from 0 to 1) of its images are not there.
    """
    with err.status(f"reading {order.manifest}") as status:
        manifest, facts = read_order(settings, order)
        card = find_model(order.model, settings.models).card
        missing = _missing(order, manifest, max_missing) if card.reads_images else ""
        run_id = commit(
            database,
            order,
            manifest,
            facts,
            lambda rows: status.update(f"reading {order.manifest}: {rows:,} rows"),
        )
    say_reading(manifest)
    if missing:
        warn(missing)
    return run_id


def _missing(order: Order, manifest: Manifest, max_missing: float) -> str:
    """Look the images up; returns what is to be said of those that are not there, blank if all are."""
    source = open_source(order.images)
    names = [row.image_index for row in manifest]
    missing, hint = source.look_up(names)
    if not missing:
        return ""
    examples = ", ".join(map(repr, missing[:_EXAMPLES]))
    said = f"{len(missing):,} of {len(names):,} images are not below {source.root}: {examples}"
    said += ", …" if len(missing) > _EXAMPLES else ""
    if len(missing) <= max_missing * len(names):
        return f"{said}; they will fail as missing"
    way = hint or "compare the names with the folder's"
    raise OrderError(
        f"{said}. {way[0].upper()}{way[1:]}. To score the rest all the same: --max-missing "
        f"{math.ceil(1000 * len(missing) / len(names)) / 1000:g}"
    )
