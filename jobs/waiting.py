"""Following a run: a live bar on a terminal, a line now and then elsewhere, and the ledger kept moving."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from db import queries
from db.database import Database

_LOOK_SECONDS: Final = 0.5
_LINE_SECONDS: Final = 15.0
_RATE_SECONDS: Final = 30.0
"""The rate and the time left are those of the last so many seconds."""


class _RateColumn(ProgressColumn):
    """Images a second and the time left."""

    def render(self, task: Task) -> Text:
        return Text(_pace(task.speed, task.total, task.completed))


def _pace(speed: float | None, total: float | None, completed: float) -> str:
    if not speed or total is None:
        return ""
    left = timedelta(seconds=round((total - completed) / speed))
    return f"{speed:.1f} images/s, {left} left" if left else f"{speed:.1f} images/s"


def follow(
    database: Database, run_id: int, console: Console, tick: Callable[[], None] = lambda: None
) -> queries.Progress:
    """Show a run's progress until nothing more happens to it by itself; calls `tick` before every look."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
    )
    live = console.is_terminal
    with Progress(*columns, console=console, speed_estimate_period=_RATE_SECONDS, disable=not live) as bar:
        task = bar.add_task(f"run {run_id}", total=None)
        said = time.monotonic()
        while True:
            tick()
            now = queries.progress(database, run_id)
            done = now.scored + now.failed
            bar.update(task, description=_description(now), total=now.images, completed=done)
            if now.settled:
                return now
            if not live and time.monotonic() - said >= _LINE_SECONDS:
                said = time.monotonic()
                shown = bar.tasks[0]
                pace = _pace(shown.speed, now.images, done)
                console.print(f"{_description(now)}: {done}/{now.images} images  {pace}", highlight=False)
            time.sleep(_LOOK_SECONDS)


def _description(now: queries.Progress) -> str:
    if now.status == "running" and now.started_at is None:
        return f"run {now.run_id}: waiting for a worker"
    failed = f", {now.failed} failed" if now.failed else ""
    return f"run {now.run_id}: {now.status}{failed}"
