"""What a tick does for the schedules: find the due times and turn each, once, into a run or an evaluation."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from config.cards.model import find_model
from config.errors import ConfigError
from config.settings import Settings
from db import alerts, deletion, evaluations, schedules
from db.database import Connection, Database
from db.errors import DatabaseError
from db.manifests import manifest_of
from db.queries import model_findings
from db.runs import create_run, find_complete_run, find_or_write_model, unscored_rows
from db.schedules import DueClaim, DueTime, Settlement
from db.states import DueState
from jobs.archive import Archive
from jobs.deliveries.receiver import Receiver
from jobs.errors import AwayError, InputError
from jobs.images import ImagesError, look_at_images
from jobs.lease import LeaseKeeper
from jobs.submit import Heatmaps, Order, ask_to_send, read_order, store_manifest
from jobs.tables.errors import TableError
from jobs.tables.labels import OWN, open_labels, store_labels
from jobs.tables.manifest import Manifest
from jobs.tables.place import PlaceField, local_table
from jobs.tables.reading import ReadOptions

log = logging.getLogger(__name__)

_CRON_FIELDS: Final = 5
_REFUSALS: Final = (InputError, ConfigError, DatabaseError, OSError)
"""What no waiting mends: the due time has failed, and says why."""


class ScheduleError(InputError):
    """A schedule cannot be made as asked; the message says what to change."""


class _Action(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Score(ReadOptions, _Action):
    """Score the images of a manifest that its model has not scored yet; the paths are absolute.

    `archive`: what a manifest is made of each time. `receiver`: who gets the results of each run.
    `keep_last`: how many complete runs are kept when another one begins; None keeps all.
    """

    do: Literal["score"] = "score"
    manifest: PlaceField
    archive: Archive | None = None
    images: str
    model: str
    heatmaps: Heatmaps
    batch_size: int | None = None
    bits: int | None = None
    max_missing: float = 0.01
    receiver: Receiver | None = None
    keep_last: int | None = None

    @property
    def order(self) -> Order:
        """The order to the producer."""
        return Order(
            self.manifest,
            self.images,
            self.model,
            self.heatmaps,
            self.batch_size,
            self,
            max_missing=self.max_missing,
            bits=self.bits,
            archive=self.archive,
            receiver=self.receiver,
        )


class Evaluate(_Action):
    """Evaluate a run again, by the labels that a file has then, or by those of its manifest."""

    do: Literal["evaluate"] = "evaluate"
    run: int | Literal["latest"]
    labels: PlaceField | None = None
    label_set: str = OWN
    bootstrap: int = 0
    sensitivity: float | None = None


class _Night(NamedTuple):
    """What a scheduled order has come to: with what was found out about its images, and the ledger's ids."""

    order: Order
    manifest: Manifest
    model_id: int


Begin = Callable[[Connection], Settlement]
"""Begins the run or the evaluation of a due time."""

Action = Score | Evaluate
_ACTION: Final[TypeAdapter[Action]] = TypeAdapter(Annotated[Action, Field(discriminator="do")])


def read_action(stored: str) -> Action:
    """Read the action of a schedule's row."""
    return _ACTION.validate_json(stored)


# --- times -------------------------------------------------------------------------------------------------


def require_times(cron: str, timezone: str, now: datetime) -> None:
    """Raise ScheduleError unless cron line and time zone are valid and have a time in the future."""
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ScheduleError(
            f"--timezone: {timezone!r} is no time zone; write a name such as Europe/Berlin or UTC"
        ) from None
    if len(cron.split()) != _CRON_FIELDS:
        raise ScheduleError(
            f"--cron: {cron!r} has not the five fields minute, hour, day of month, month and day of week; "
            'as in "0 2 * * *", daily at two'
        )
    try:
        coming = next(CronSim(cron, now.astimezone(zone)), None)
    except CronSimError as error:
        raise ScheduleError(f"--cron: {cron!r}: {str(error).lower()}") from None
    if coming is None:
        raise ScheduleError(f"--cron: {cron!r} is never due")


def next_due(cron: str, timezone: str, now: datetime) -> datetime:
    """Return the first time of a cron line after `now`, in UTC; a valid line always has one."""
    return next(CronSim(cron, now.astimezone(ZoneInfo(timezone)))).astimezone(UTC)


def latest_due(cron: str, timezone: str, now: datetime) -> datetime:
    """Return the last time of a cron line that is not after `now`, in UTC."""
    # cronsim looks for times before the one that it is given.
    just_after = (now + timedelta(seconds=1)).replace(microsecond=0)
    return next(CronSim(cron, just_after.astimezone(ZoneInfo(timezone)), reverse=True)).astimezone(UTC)


# --- the tick ----------------------------------------------------------------------------------------------


def tick(database: Database, settings: Settings, now: datetime) -> None:
    """Note what is due at `now` (UTC) and act on it.

    Of several missed times only the latest is caught up, and only once the last noted one is over.
    """
    for schedule in schedules.active(database):
        due_at = latest_due(schedule.cron, schedule.timezone, now)
        if not schedule.going and due_at > (schedule.due_at or schedule.created_at):
            schedules.note_due(database, schedule.schedule_id, due_at)
    for due in schedules.to_act_on(database):
        held = schedules.claim(database, due, settings.lease_seconds)
        if held is not None:
            _act(database, settings, held, now)


def _act(database: Database, settings: Settings, held: DueClaim, now: datetime) -> None:
    """Make the run or the evaluation of a claimed due time, in one transaction that holds its row.

    Its file is read and its images are looked up before, so that nobody waits for a slow folder to write, and
    under a lease, so that nobody else does the same meanwhile.
    """
    action = read_action(held.action)
    what = f"schedule {held.name}, due at {held.due.due_at.isoformat()}"
    renew = partial(schedules.renew, database, held, settings.lease_seconds)
    try:
        with LeaseKeeper(renew, settings.lease_seconds, what):
            begin = _prepare(database, settings, held.due, action, now)
    except AwayError as error:
        reason = " ".join(str(error).split())
        log.log(logging.DEBUG if held.waits_for else logging.WARNING, "%s: waiting: %s", what, reason)
        schedules.put_off(database, held, reason)
        return
    if held.waits_for:
        log.warning("%s: goes on; it waited for: %s", what, held.waits_for)
    with database.write() as connection:
        if not schedules.lock(connection, held):
            log.warning("%s: the lease was lost; nothing was written", what)
            return
        try:
            with connection.begin_nested():
                settled = begin(connection)
        except _REFUSALS as error:
            settled = Settlement(DueState.FAILED, message=str(error))
            alerts.raise_failed(connection, held.due, f"schedule {held.name}: {_without_cells(error)}")
        schedules.settle(connection, held.due, settled, now)
    log.info("%s: %s", what, settled.state)
    if isinstance(action, Score) and action.keep_last is not None:
        deleted = deletion.mark_superfluous(database, held.due.schedule_id, action.keep_last)
        log.info("%s: the last %d runs are kept, %d are deleted", what, action.keep_last, len(deleted))


def _without_cells(error: Exception) -> str:
    """Say what went wrong without a manifest's cells, which may name patients: alerts leave the premises."""
    if isinstance(error, TableError) and error.line is not None:
        return f"{error.path}, {error.unit} {error.line} cannot be read; why: nightread schedule list"
    return error.outline if isinstance(error, ImagesError) else str(error)


def _prepare(database: Database, settings: Settings, due: DueTime, action: Action, now: datetime) -> Begin:
    """Return what begins an action; it raises there what it cannot be begun for."""
    try:
        if isinstance(action, Evaluate):
            labels = None if action.labels is None else local_table(action.labels, settings.home)
            return partial(_begin_evaluation, due=due, action=action, labels=labels)
        order = _with_manifest(database, settings, due, action.order, now)
        if order is None:
            return lambda _: Settlement(DueState.NOTHING_NEW)
        made = action.archive is not None
        return partial(_begin_score, due=due, night=_read_night(database, settings, order), made=made)
    except _REFUSALS as error:
        return partial(_refuse, error=error)


def _refuse(_: Connection, error: Exception) -> Settlement:
    raise error


def _with_manifest(
    database: Database, settings: Settings, due: DueTime, order: Order, now: datetime
) -> Order | None:
    """Return an order with a manifest, made now if it names an archive; None if there is no film in that.

    A search in a service begins at the latest on the day before the last time that was acted on: what came
    while nothing ran is not passed over. What has been scored is not scored again.
    """
    if order.archive is None:
        return order
    # pydicom takes a sixth of a second to import, which other schedules need not pay.
    from jobs.inventory.archive import inventory_of, keep_manifest, today_of  # noqa: PLC0415
    from jobs.inventory.inventory import Choice  # noqa: PLC0415

    last = schedules.last_begun(database, due.schedule_id)
    inventory = inventory_of(
        settings,
        order.archive,
        Choice(any_view=order.read.view == "all"),
        today_of(now),
        not_after=last and today_of(last) - timedelta(days=1),
    ).identified(settings.home, "hash", "keep")
    skipped = len(inventory.skipped)
    log.info("%s: %d kept, %d skipped", order.archive.place, len(inventory.films), skipped)
    if not inventory.films:
        return None
    return replace(order, manifest=keep_manifest(settings, inventory).manifest, archive=None)


def _read_night(database: Database, settings: Settings, order: Order) -> _Night:
    """Read an order's manifest, store it if it is new, and look up the images that are not scored yet."""
    manifest, facts = read_order(settings, order)
    with database.write() as connection:
        manifest_id = store_manifest(connection, order, manifest)
        model_id = find_or_write_model(connection, facts)
        rows = unscored_rows(connection, manifest_id, model_id)
    if rows and find_model(order.model, settings.models).card.reads_images:
        names = [*manifest.names()]
        new = [name for part in rows for name in names[part.first - 1 : part.last]]
        order, _ = look_at_images(order, new, len(names), settings.max_image_pixels)
    order = replace(order, batch_size=order.batch_size or facts.batch_size)
    return _Night(order, manifest, model_id)


def _begin_score(connection: Connection, due: DueTime, night: _Night, *, made: bool) -> Settlement:
    order, manifest, model_id = night
    # It was stored before; nobody named it since, and who deletes runs may have taken its rows.
    manifest_id = store_manifest(connection, order, manifest)
    rows = unscored_rows(connection, manifest_id, model_id)
    last = schedules.last_run(connection, due.schedule_id)
    if not rows and (made or last == (manifest_id, model_id)):
        return Settlement(DueState.NOTHING_NEW)
    # Even without a row to score it is a run, unless its manifest was made and so has no labels: its
    # evaluation uses the labels as they are now.
    run_id = create_run(
        connection,
        manifest_id=manifest_id,
        model_id=model_id,
        heatmaps=order.heatmaps,
        batch_size=order.batch_size,
        version=version("nightread"),
        rows=rows,
        bits=order.bits,
        only_new=True,
        schedule_id=due.schedule_id,
    )
    ask_to_send(connection, run_id, order.receiver)
    return Settlement(DueState.BEGUN, run_id=run_id)


def _begin_evaluation(
    connection: Connection, due: DueTime, action: Evaluate, labels: Path | None
) -> Settlement:
    """Begin an evaluation; `labels` are at hand, wherever the action has them from."""
    run_id, label_manifest_id = find_complete_run(connection, action.run)
    if labels is not None:
        table = open_labels(
            labels,
            findings=model_findings(connection, run_id),
            root=manifest_of(connection, run_id).root,
            origin=action.labels,
        )
        label_manifest_id = store_labels(connection, run_id, table)
    asked = evaluations.EvaluationRequest(
        label_manifest_id,
        action.label_set,
        bootstrap=action.bootstrap,
        wanted_sensitivity=action.sensitivity,
        schedule_id=due.schedule_id,
    )
    return Settlement(DueState.BEGUN, evaluation_id=evaluations.ask(connection, run_id, asked))
