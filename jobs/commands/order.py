"""From the options that `score` and `submit` share to a committed run."""

from pathlib import Path

from config.settings import Settings
from db.database import Database
from jobs.commands.options import column_mapping
from jobs.console import err
from jobs.submit import Heatmaps, Order, submit


def commit_order(
    database: Database,
    settings: Settings,
    manifest: Path,
    images: str,
    model: str | None,
    batch_size: int,
    heatmaps: Heatmaps,
    image_column: str | None,
    finding_column: list[str] | None,
) -> int:
    """Commit a run of a manifest, with a live count of its rows; returns the run's number."""
    order = Order(
        manifest,
        images,
        model or settings.model,
        heatmaps,
        batch_size,
        image_column,
        column_mapping(finding_column),
    )
    with err.status(f"reading {manifest}") as status:
        return submit(
            database, settings, order, lambda rows: status.update(f"reading {manifest}: {rows:,} rows")
        )
