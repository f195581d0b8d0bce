"""Working on a run until it ends: the ledger is kept moving, with a live bar or an occasional line."""

import signal
import time
from collections.abc import Callable
from datetime import timedelta
from types import FrameType
from typing import Final, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from config.cards.model import find_model, make_card
from config.errors import ConfigError
from config.settings import Settings
from db import queries
from db.database import Database
from db.errors import DatabaseAwayError
from db.states import RunStatus
from jobs.console import EXIT_INCOMPLETE, EXIT_SOME_FAILED, err, fail, out
from jobs.dispatch.broker import Broker, BrokerAwayError
from jobs.dispatch.embedded import EmbeddedStack
from jobs.dispatch.reconcile import reconcile
from jobs.results import print_auc, print_failures

_LOOK_SECONDS: Final = 0.5
_LINE_SECONDS: Final = 15.0
_AWAY_SECONDS: Final = 2.0
_RATE_SECONDS: Final = 30.0
"""The span from which the rate and the time left are computed."""


class _RateColumn(ProgressColumn):
    """Images per second and the time left."""

    def render(self, task: Task) -> Text:
        return Text(_pace(task.speed, task.total, task.completed))


def _pace(speed: float | None, total: float | None, completed: float) -> str:
    if not speed or total is None:
        return ""
    left = timedelta(seconds=round((total - completed) / speed))
    return f"{speed:.1f} images/s, {left} left" if left else f"{speed:.1f} images/s"


class _Waiting:
    """Says what is waited for, once until it answers again."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = False

    def say(self, error: Exception) -> None:
        if not self._said:
            self._console.print(f"waiting: {error}", style="yellow", markup=False, highlight=False)
        self._said = True

    def end(self) -> None:
        self._said = False


def follow(
    database: Database, run_id: int, console: Console, tick: Callable[[], None] = lambda: None
) -> queries.Progress:
    """Show a run's progress until it is settled; calls `tick` before each reading."""
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
        waiting = _Waiting(console)
        while True:
            try:
                try:
                    tick()
                    waiting.end()
                except BrokerAwayError as error:
                    # What the workers have already goes on, and a run may end.
                    waiting.say(error)
                now = queries.progress(database, run_id)
            except DatabaseAwayError as error:
                # It answered when this began: the workers wait for it as well.
                waiting.say(error)
                time.sleep(_AWAY_SECONDS)
                continue
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
    if now.status == RunStatus.RUNNING and now.started_at is None:
        return f"run {now.run_id}: waiting for a worker"
    failed = f", {now.failed} failed" if now.failed else ""
    return f"run {now.run_id}: {now.status}{failed}"


class _InterruptHandler:
    """Handles Ctrl-C as Python does, and remembers it.

    A KeyboardInterrupt raised in a finalizer is printed by Python and forgotten.
    """

    def __init__(self) -> None:
        self._came = False

    def __call__(self, _number: int, _frame: FrameType | None) -> NoReturn:
        self._came = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self._came:
            raise KeyboardInterrupt


def work_on(database: Database, settings: Settings, run_id: int) -> queries.Progress:
    """Keep a run moving until it ends, with our own queue and worker where no broker is configured.

    Ctrl-C ends the process and leaves a run that can be resumed.
    """
    interrupt = _InterruptHandler()

    def move(url: str, watch: Callable[[], None]) -> queries.Progress:
        broker = Broker.connect(url, settings.tick_seconds)

        def tick() -> None:
            interrupt.check()
            watch()
            reconcile(database, broker, settings)
            if broker.away:
                # A tick that has nothing to send would not see whether it is back.
                broker.require_writable()

        return _followed(database, run_id, tick)

    try:
        signal.signal(signal.SIGINT, interrupt)
        if settings.broker_url is not None:
            return move(settings.broker_url.get_secret_value(), lambda: None)
        run = queries.progress(database, run_id)
        _require_model(database, settings, run)
        with EmbeddedStack(settings, run.model) as stack:
            return move(stack.broker_url, stack.watch)
    except KeyboardInterrupt:
        err.print(f"run {run_id} is not complete; to go on: nightread resume {run_id}", highlight=False)
        raise SystemExit(EXIT_INCOMPLETE) from None


def _require_model(database: Database, settings: Settings, run: queries.Progress) -> None:
    """Raise ConfigError unless this machine's model is the one that the run was made with."""
    here = find_model(run.model, settings.models).card.model_dump(mode="json")
    # As a card of this version: one of an earlier version lacks the fields that have come since.
    then = make_card(queries.model_card(database, run.run_id)).model_dump(mode="json")
    differ = [field for field in then if here.get(field) != then[field]]
    if differ:
        raise ConfigError(
            f"run {run.run_id} was made with another model {run.model} than the one here: "
            f"{', '.join(differ)} differ; put that one back, or score the manifest as a new run"
        )


def _followed(database: Database, run_id: int, tick: Callable[[], None]) -> queries.Progress:
    try:
        return follow(database, run_id, err, tick)
    except KeyboardInterrupt:
        err.print(
            "stopping; the batches under way are finished first (Ctrl-C again: at once)", highlight=False
        )
        raise


def finish(database: Database, ended: queries.Progress) -> NoReturn:
    """Print a settled run's figures and exit with the code that says how it ended."""
    if ended.status == RunStatus.FAILED:
        print_failures(database, ended.run_id)
    if ended.status != RunStatus.COMPLETE:
        fail(
            f"run {ended.run_id} is {ended.status}{': ' + ended.message if ended.message else ''}",
            EXIT_INCOMPLETE,
        )
    print_auc(database, ended.run_id)
    print_failures(database, ended.run_id)
    out.print(
        f"run {ended.run_id}: {ended.scored:,} of {ended.images:,} images scored, {ended.failed:,} failed",
        highlight=False,
    )
    raise SystemExit(EXIT_SOME_FAILED if ended.failed else 0)
