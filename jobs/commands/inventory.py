"""Taking an inventory for a command: with a bar while it lasts, and its counts at the end."""

from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from config.settings import Settings
from jobs.console import err, note, warn
from jobs.inventory.inventory import Choice, Inventory, take_inventory
from jobs.inventory.summary import summary_lines, warning_lines


def look_into(
    settings: Settings,
    folder: Path,
    *,
    any_view: bool,
    only_dicom: bool = False,
    skip_burned_in: bool = False,
    processes: int | None = None,
) -> Inventory:
    """Take the inventory of a folder or DICOMDIR; raises what `take_inventory` raises."""
    choice = Choice(any_view, only_dicom, skip_burned_in, (settings.home, settings.overlays, settings.models))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        task = bar.add_task("finding files", total=None)
        return take_inventory(
            folder,
            choice,
            processes,
            found=lambda files: bar.update(task, completed=files),
            looked=lambda done, files: bar.update(
                task, description="looking into files", completed=done, total=files
            ),
        )


def say_inventory(inventory: Inventory) -> None:
    """Say what an inventory has found, to standard error."""
    for line in summary_lines(inventory):
        note(line)
    for line in warning_lines(inventory):
        warn(line)
