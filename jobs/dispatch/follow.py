"""Working on a run until it ends: the ledger is kept moving, with a live bar or an occasional line."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
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
from jobs.console import EXIT_INCOMPLETE, EXIT_SOME_FAILED, err, fail, note, out, shown
from jobs.dispatch.broker import Broker, BrokerAwayError
from jobs.dispatch.embedded import EmbeddedStack
from jobs.dispatch.reconcile import reconcile
from jobs.dispatch.stopping import Stopping, stopping
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
            self._console.print(shown(f"waiting: {error}"), style="yellow", highlight=False)
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


class Workplace:
    """What working on a run takes; `claimed` makes it."""

    def __init__(self, database: Database, settings: Settings, stop: Stopping, stack: EmbeddedStack) -> None:
        """Use the configured broker, or our own queue and worker where there is none."""
        self._database = database
        self._settings = settings
        self._stop = stop
        self._stack = stack
        self.run_id: int | None = None
        """The run that is worked on, once there is one."""

    def work_on(self, run_id: int) -> queries.Progress:
        """Keep a run moving until it ends."""
        self.run_id = run_id
        if self._settings.broker_url is not None:
            url = self._settings.broker_url.get_secret_value()
            return self._move(run_id, Broker.connect(url, self._settings.tick_seconds), lambda: None)
        run = queries.progress(self._database, run_id)
        _require_model(self._database, self._settings, run)
        self._stack.start(run.model)
        broker = Broker.connect(self._stack.broker_url, self._settings.tick_seconds)
        return self._move(run_id, broker, self._stack.watch)

    def _move(self, run_id: int, broker: Broker, watch: Callable[[], None]) -> queries.Progress:
        def tick() -> None:
            self._stop.check()
            watch()
            reconcile(self._database, broker, self._settings)
            if broker.away:
                # A tick that has nothing to send would not see whether it is back.
                broker.require_writable()

        try:
            return follow(self._database, run_id, err, tick)
        except KeyboardInterrupt:
            note("stopping; the batches under way are finished first (Ctrl-C again: at once)")
            raise


@contextmanager
def claimed(database: Database, settings: Settings) -> Iterator[Workplace]:
    """Claim what working on a run takes, before a run is committed; refused where another command has it.

    Ctrl-C, SIGTERM and SIGHUP end the block and the process in order: batches under way are finished, what
    was started is stopped, temporary files are removed, and a run is left that can be resumed. Raises
    EmbeddedError and EmbeddedAwayError.
    """
    place = None
    try:
        with ExitStack() as undo:
            stop = undo.enter_context(stopping(settings.home.absolute() / "logs" / "stopped.log"))
            stack = EmbeddedStack(settings)
            if settings.broker_url is None:
                undo.enter_context(stack)
            place = Workplace(database, settings, stop, stack)
            yield place
    except KeyboardInterrupt:
        if place and place.run_id:
            note(f"run {place.run_id} is not complete; to go on: nightread resume {place.run_id}")
        else:
            note("stopped before anything was scored; nightread status shows the runs that there are")
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
