"""From an order to a committed run, with a live count of the manifest's rows."""

from config.settings import Settings
from db.database import Database
from jobs.commands.reading import say_reading
from jobs.console import err
from jobs.submit import Order, commit, read_order


def commit_order(database: Database, settings: Settings, order: Order) -> int:
    """Commit a run of a manifest, and say what was taken of it; returns the run's number."""
    with err.status(f"reading {order.manifest}") as status:
        manifest, facts = read_order(settings, order)
        run_id = commit(
            database,
            order,
            manifest,
            facts,
            lambda rows: status.update(f"reading {order.manifest}: {rows:,} rows"),
        )
    say_reading(manifest)
    return run_id
