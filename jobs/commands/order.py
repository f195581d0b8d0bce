"""From an order to a committed run: its images are looked up before anything is written."""

from config.cards.model import find_model
from config.settings import Settings
from db.database import Database
from jobs.commands.reading import say_reading
from jobs.console import err, warn
from jobs.images import look_at_images
from jobs.submit import Order, commit, read_order


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
