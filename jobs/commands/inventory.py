"""Taking an inventory for a command: with a bar while it lasts, and its counts at the end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from config.settings import Settings
from jobs.console import err, note, warn
from jobs.dicomweb.service import DicomWeb
from jobs.inventory.dicomweb import Search, day_of, modalities_of, search_inventory
from jobs.inventory.inventory import Choice, Inventory, take_inventory
from jobs.inventory.summary import summary_lines, warning_lines
from jobs.sources.dicomweb import THREADS


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
    with _bar("files") as (found, looked):
        return take_inventory(folder, choice, processes, found, looked)


def search_in(
    settings: Settings,
    root: str,
    search: Search,
    *,
    any_view: bool,
    skip_burned_in: bool = False,
    threads: int | None = None,
) -> Inventory:
    """Take the inventory of what a search finds by DICOMweb; raises what `search_inventory` raises."""
    choice = Choice(any_view, skip_burned_in=skip_burned_in)
    with _bar("studies") as (found, looked):
        return search_inventory(DicomWeb(root, settings), search, choice, threads or THREADS, found, looked)


def search_of(since: str | None, until: str | None, modality: str | None) -> Search:
    """Return the search that three options ask for, days being the machine's; raises SearchError."""
    today = datetime.now().astimezone().date()
    return Search(
        day_of(since, today, "--since") if since else None,
        day_of(until, today, "--until") if until else None,
        **({"modalities": modalities_of(modality)} if modality else {}),
    )


@contextmanager
def _bar(what: str) -> Iterator[tuple[Callable[[int], None], Callable[[int, int], None]]]:
    """Show a bar; gives what to call with the number found, and with that looked into and all."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        task = bar.add_task(f"finding {what}", total=None)
        looking = f"looking into {what}"
        yield (
            lambda number: bar.update(task, completed=number),
            lambda done, number: bar.update(task, description=looking, completed=done, total=number),
        )


def say_inventory(inventory: Inventory) -> None:
    """Say what an inventory has found, to standard error."""
    for line in summary_lines(inventory):
        note(line)
    for line in warning_lines(inventory):
        warn(line)
