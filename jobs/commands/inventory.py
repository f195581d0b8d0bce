"""Taking an inventory for a command: with a bar while it lasts, and its counts at the end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from config.settings import Settings
from jobs.archive import Archive
from jobs.console import err, note, warn
from jobs.inventory.archive import inventory_of, today_of
from jobs.inventory.cases import Cases, find_cases
from jobs.inventory.inventory import Choice, Inventory
from jobs.inventory.summary import summary_lines, warning_lines


def look_into(settings: Settings, archive: Archive, choice: Choice, at_once: int | None = None) -> Inventory:
    """Take the inventory of an archive; raises what `inventory_of` raises."""
    with _bar("studies" if archive.is_service else "files") as (found, looked):
        return inventory_of(
            settings, archive, choice, today_of(datetime.now(UTC)), at_once, found=found, looked=looked
        )


def look_for_cases(
    settings: Settings, folder: Path, sequences: Sequence[str], processes: int | None
) -> Cases:
    """Look for cases of volumes in a folder; raises what `find_cases` raises."""
    own = (settings.home, settings.overlays, settings.models)
    with _bar("files") as (found, looked):
        return find_cases(folder, sequences, own, processes, found, looked)


@contextmanager
def _bar(what: str) -> Iterator[tuple[Callable[[int], None], Callable[[int, int], None]]]:
    """Show a bar; gives what is called with the number found, then with how many are looked into, and all."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        task = bar.add_task(f"finding {what}", total=None)

        def looked(done: int, number: int) -> None:
            bar.update(task, description=f"looking into {what}", completed=done, total=number)

        yield lambda number: bar.update(task, completed=number), looked


def say_inventory(inventory: Inventory) -> None:
    """Say what an inventory has found, to standard error."""
    for line in summary_lines(inventory):
        note(line)
    for line in warning_lines(inventory):
        warn(line)
