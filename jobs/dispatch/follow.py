"""Working on a run until it ends: the ledger is kept moving, with a live bar or an occasional line."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from config.cards.model import find_model, make_card
from config.errors import ConfigError
from config.files import run_folder
from config.machine import children_and_threads, engine_of
from config.settings import Settings
from db import queries, sendings
from db.database import Database
from db.errors import DatabaseAwayError
from db.states import RunStatus, SendingState
from jobs.console import EXIT_INCOMPLETE, EXIT_SOME_FAILED, err, fail, note, say, shown, warn
from jobs.dispatch.broker import Broker
from jobs.dispatch.detach import detach as detach_process
from jobs.dispatch.embedded import EmbeddedStack
from jobs.dispatch.obstacles import full_disk
from jobs.dispatch.reconcile import reconcile
from jobs.dispatch.stopping import Stopping, stopping
from jobs.errors import AwayError
from jobs.kinds.known import kind_of, noun_of
from jobs.results import print_changed, print_deliveries, print_failures, print_figures, print_quality

T = TypeVar("T")

_LOOK_SECONDS: Final = 0.5
_LINE_SECONDS: Final = 15.0
"""The time between two lines about images alone, where there is no live bar."""
_AWAY_SECONDS: Final = 2.0
_LOAD_SECONDS: Final = 20
"""To compile or export DenseNet-121: 18 to 25 s were measured with two processes on two cores."""
_KEPT_LOAD_SECONDS: Final = 4
"""The same network, exported before."""
_SLOW: Final = 0.5
"""Per second: what is slower is said per minute."""
_RATE_SECONDS: Final = 30.0
"""The span from which the rate and the time left are computed."""


class _RateColumn(ProgressColumn):
    """Images per second, or slower ones per minute, and the time left."""

    def __init__(self, noun: str) -> None:
        super().__init__()
        self._noun = noun

    def render(self, task: Task) -> Text:
        return Text(_pace(task.speed, task.total, task.completed, self._noun))


def _pace(speed: float | None, total: float | None, completed: float, noun: str) -> str:
    if not speed or total is None:
        return ""
    left = timedelta(seconds=round((total - completed) / speed))
    rate = f"{speed:.1f} {noun}s/s" if speed >= _SLOW else f"{60 * speed:.1f} {noun}s/min"
    return f"{rate}, {left} left" if left else rate


class _Waiting:
    """Says what is waited for, once until it answers again."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = False

    def say(self, error: object) -> None:
        if not self._said:
            with suppress(OSError):  # its file may be on the disk that is full; what is buffered follows
                self._console.print(
                    shown(f"waiting: {error}"), style="yellow", highlight=False, soft_wrap=True
                )
        self._said = True

    def end(self) -> None:
        self._said = False

    def hear(self, reason: str | None) -> None:
        """Say it if there is something to wait for."""
        if reason is None:
            self.end()
        else:
            self.say(reason)


def follow(
    database: Database,
    run_id: int,
    console: Console,
    tick: Callable[[], None] = lambda: None,
    starting: str = "waiting for a worker",
) -> queries.Progress:
    """Show a run's progress until it is settled; calls `tick` before each reading.

    A terminal has a bar and a clock; elsewhere each change is a line with its time. `starting`: what is shown
    until a worker has a batch.
    """
    waiting, images = _Waiting(console), _Waiting(console)
    noun = _read(lambda: noun_of(database, run_id), lambda: None, waiting)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        _RateColumn(noun),
    )
    live = console.is_terminal
    with Progress(*columns, console=console, speed_estimate_period=_RATE_SECONDS, disable=not live) as bar:
        task = bar.add_task(f"run {run_id}", total=None)
        lines = _Lines(console, noun)
        while True:
            now = _read(lambda: queries.progress(database, run_id), tick, waiting)
            images.hear(now.waits_for)
            done = now.scored + now.failed
            state = _state(now, starting)
            # Without a total the bar moves although no image is done.
            total = None if state == starting else now.images
            bar.update(task, description=f"run {run_id}: {state}", total=total, completed=done, refresh=True)
            if not live:
                lines.say(now, state, _pace(bar.tasks[0].speed, now.images, done, noun))
            if now.settled:
                return now
            time.sleep(_LOOK_SECONDS)


def follow_sendings(
    database: Database, run_id: int, console: Console, tick: Callable[[], None] = lambda: None
) -> None:
    """Show how a complete run's results are sent, until that is over; calls `tick` before each reading."""
    waiting, receivers = _Waiting(console), _Waiting(console)
    with console.status("") as status:
        while True:
            found = _read(lambda: sendings.of_run(database, run_id), tick, waiting)
            under_way = next((sending for sending in found if not sending.state.settled), None)
            if under_way is None:
                return
            receivers.hear(under_way.waits_for)
            done, left = under_way.sent, under_way.left
            status.update(shown(f"sending to {under_way.target}: {done:,} of {done + left:,} objects"))
            time.sleep(_LOOK_SECONDS)


def _read(read: Callable[[], T], tick: Callable[[], None], waiting: _Waiting) -> T:
    """Return what is read after a tick, once the database answers; says what is waited for."""
    while True:
        try:
            try:
                tick()
                waiting.end()
            except AwayError as error:
                # What the workers have already goes on, and a run may end.
                waiting.say(error)
            return read()
        except DatabaseAwayError as error:
            # It answered when this began: the workers wait for it as well.
            waiting.say(error)
            time.sleep(_AWAY_SECONDS)


class _Lines:
    """One line per change with its time, where there is no live bar."""

    def __init__(self, console: Console, noun: str) -> None:
        self._console = console
        self._noun = noun
        self._state = ""
        self._done = 0
        self._said = 0.0

    def say(self, now: queries.Progress, state: str, pace: str) -> None:
        """Say a new state at once, and new images every few seconds."""
        done = now.scored + now.failed
        new = done != self._done and time.monotonic() - self._said >= _LINE_SECONDS
        if state == self._state and not new:
            return
        self._state, self._done, self._said = state, done, time.monotonic()
        parts = [f"run {now.run_id}: {state}", f"{done:,}/{now.images:,} {self._noun}s", pace]
        line = ", ".join(part for part in parts if part)
        with suppress(OSError):  # as above
            self._console.print(f"{datetime.now(UTC):%H:%M:%S}Z {line}", highlight=False, markup=False)


def _state(now: queries.Progress, starting: str) -> str:
    if now.status == RunStatus.RUNNING and now.started_at is None:
        return starting
    return f"{now.status}, {now.failed:,} failed" if now.failed else now.status


class Workplace:
    """What working on a run takes; `claimed` makes it."""

    def __init__(self, database: Database, settings: Settings, stop: Stopping, stack: EmbeddedStack) -> None:
        """Use the configured broker, or our own queue and worker where there is none."""
        self._database = database
        self._settings = settings
        self._stop = stop
        self._stack = stack
        self._began = time.monotonic()
        self.run_id: int | None = None
        """The run that is worked on, once there is one."""

    def prepare(self, model: str) -> None:
        """Start our own worker, where no broker is configured, before there is a run for it."""
        if self._settings.broker_url is None:
            self._stack.start(model)

    def work_on(self, run_id: int, *, detach: bool = False) -> queries.Progress:
        """Keep a run moving until it ends.

        With `detach` this returns in another process; the one that was called ends once the work has begun.
        """
        self.run_id = run_id
        if self._settings.broker_url is not None:
            started = self._detach(run_id) if detach else _nothing
            url = self._settings.broker_url.get_secret_value()
            broker = Broker.connect(url, self._settings.tick_seconds)
            started()
            return self._move(run_id, broker, _nothing, "waiting for a worker")
        run = queries.progress(self._database, run_id)
        _require_model(self._database, self._settings, run)
        started = self._detach(run_id) if detach else _nothing
        self._stack.start(run.model)
        started()
        broker = Broker.connect(self._stack.broker_url, self._settings.tick_seconds)
        return self._move(run_id, broker, self._stack.watch, starting(self._settings, run.model))

    @property
    def overlays(self) -> Path:
        """The folder below which overlays are written."""
        return self._settings.overlays

    @property
    def elapsed(self) -> timedelta:
        """How long this has lasted, in whole seconds."""
        return timedelta(seconds=round(time.monotonic() - self._began))

    def _detach(self, run_id: int) -> Callable[[], None]:
        log = self._settings.home.absolute() / "logs" / f"run-{run_id}.log"
        self._database.dispose()  # neither database's connections may be used on both sides of a fork
        return detach_process(
            log,
            f"run {run_id} goes on without this terminal; its log: {log}\n"
            f"to watch it: nightread status {run_id} --follow\n"
            f"to stop it: nightread cancel {run_id}",
        )

    def _move(
        self, run_id: int, broker: Broker, watch: Callable[[], None], starting: str
    ) -> queries.Progress:
        def tick() -> None:
            self._stop.check()
            watch()
            reconcile(self._database, broker, self._settings)
            if broker.away:
                # A tick that has nothing to send would not see whether it is back.
                broker.require_writable()
            if full := full_disk(self._database):
                raise AwayError(full)

        try:
            ended = follow(self._database, run_id, err, tick, starting)
            if ended.status == RunStatus.COMPLETE:
                follow_sendings(self._database, run_id, err, tick)
            return ended
        except KeyboardInterrupt:
            note("stopping; the batches under way are finished first (Ctrl-C again: at once)")
            raise


def _nothing() -> None:
    """Watch no server of ours, or tell nobody that one has started."""


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


def starting(settings: Settings, model: str) -> str:
    """Say what our own worker does before its first batch, and about how long that takes."""
    children, _ = children_and_threads(settings.model_copy(update={"model": model}))
    processes = f"{children} worker{'s' if children != 1 else ''}"
    if not find_model(model, settings.models).card.reads_images:
        return f"starting {processes}"
    kept = engine_of(settings) != "tensorflow" and any(settings.graphs.glob(f"{model}/*.graph"))
    seconds = _KEPT_LOAD_SECONDS if kept else _LOAD_SECONDS
    return f"starting {processes}, loading model {model} (about {seconds} s)"


def exit_code(database: Database, ended: queries.Progress) -> int:
    """Return the code that says how a settled run ended, and what became of its results."""
    sent = sendings.of_run(database, ended.run_id)
    if ended.status != RunStatus.COMPLETE or any(each.state == SendingState.FAILED for each in sent):
        return EXIT_INCOMPLETE
    return EXIT_SOME_FAILED if ended.failed or any(each.unsent for each in sent) else 0


def finish(database: Database, ended: queries.Progress, place: Workplace | None = None) -> NoReturn:
    """Print what a settled run has come to, and exit with the code that says how it ended.

    `place`: where it was worked on; how long that took and its overlays are named.
    """
    complete = ended.status == RunStatus.COMPLETE
    if complete:
        print_figures(database, ended.run_id)
    print_failures(database, ended.run_id)
    if complete:
        print_quality(database, ended.run_id)
        print_changed(database, ended.run_id)
    noun = noun_of(database, ended.run_id)
    counts = f"{ended.scored:,} of {ended.images:,} {noun}s scored, {ended.failed:,} failed"
    if ended.pending:
        counts += f", {ended.pending:,} left"
    say(f"run {ended.run_id}: {counts}{f', in {place.elapsed}' if place else ''}")
    say(f"database: {database.where.removeprefix('sqlite:///')}")
    if place and (overlays := place.overlays / run_folder(ended.run_id)).is_dir():
        say(f"{kind_of(database, ended.run_id).beside}: {overlays}")
    if not complete:
        why = f": {ended.message}" if ended.message else ""
        way = f"; to go on: nightread resume {ended.run_id}" if ended.status == RunStatus.CANCELLED else ""
        fail(f"run {ended.run_id} is {ended.status}{why}{way}", exit_code(database, ended))
    for sending in sendings.of_run(database, ended.run_id):
        if sending.message:
            warn(f"not sent to {sending.target}: {sending.message}")
        else:
            print_deliveries(database, ended.run_id, sending.target)
    say(f"next: nightread report {ended.run_id}")
    raise SystemExit(exit_code(database, ended))
