"""Taking an inventory for a command: with a bar while it lasts, and its counts at the end."""

from datetime import UTC, datetime

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from config.settings import Settings
from jobs.archive import Archive
from jobs.console import err, note, warn
from jobs.inventory.archive import inventory_of, today_of
from jobs.inventory.inventory import Choice, Inventory
from jobs.inventory.summary import summary_lines, warning_lines


def look_into(settings: Settings, archive: Archive, choice: Choice, at_once: int | None = None) -> Inventory:
    """Take the inventory of an archive; raises what `inventory_of` raises."""
    what = "studies" if archive.is_service else "files"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        task = bar.add_task(f"finding {what}", total=None)
        return inventory_of(
            settings,
            archive,
            choice,
            today_of(datetime.now(UTC)),
            at_once,
            found=lambda number: bar.update(task, completed=number),
            looked=lambda done, number: bar.update(
                task, description=f"looking into {what}", completed=done, total=number
            ),
        )


def say_inventory(inventory: Inventory) -> None:
    """Say what an inventory has found, to standard error."""
    for line in summary_lines(inventory):
        note(line)
    for line in warning_lines(inventory):
        warn(line)
