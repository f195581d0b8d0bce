"""The commands `nightread schedule`: what is scored or evaluated automatically, and when."""

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from typer.core import TyperGroup

from config.cards.model import find_model
from config.findings import FINDINGS
from config.settings import Settings
from db import schedules, sendings
from db.database import Database
from db.queries import model_findings
from db.runs import find_complete_run
from db.schedules import Schedule
from jobs.archive import Archive
from jobs.commands.app import Context
from jobs.commands.options import (
    ArchiveArgument,
    ArchiveImagesOption,
    BatchOption,
    BitsOption,
    HeatmapsOption,
    JsonOption,
    MaxMissingOption,
    ModalityOption,
    ModelOption,
    SinceOption,
    UntilOption,
    archive_of,
)
from jobs.commands.order import images_of, require_order
from jobs.commands.reading import reads_table, say_reading
from jobs.commands.receiver import FormatsOption, SendToOption, TlsOption, receiver_of
from jobs.commands.runs import find_run
from jobs.commands.session import ready
from jobs.console import err, print_json, print_table, say, shown, warn
from jobs.results import print_sendings, print_waiting
from jobs.schedules.schedule import (
    Action,
    Evaluate,
    ScheduleError,
    Score,
    next_due,
    read_action,
    require_times,
)
from jobs.sources.source import open_source
from jobs.submit import read_order
from jobs.tables.labels import OWN, open_labels
from jobs.tables.manifest import Manifest
from jobs.tables.place import absolute, local_table, place_of
from jobs.tables.reading import ReadOptions

_ACTS = (
    "Workers act on schedules while beat runs, and so does each waiting command; all of them need the paths "
    "named here. See docs/schedules.md."
)

app = typer.Typer(help="Schedule runs and evaluations: add, list and remove.", no_args_is_help=True)


class NameFirst(TyperGroup):
    """A group whose own argument may precede its options: `add NAME --cron … score MANIFEST …`.

    Click reads a group's options only up to its first argument, so a leading name is moved behind them.
    """

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Take the arguments before the subcommand as the group's own."""
        end = next((place for place, word in enumerate(args) if place and word in self.commands), len(args))
        name = [word for word in args[:1] if not word.startswith("-")]
        rest: list[str] = super().parse_args(ctx, [*args[len(name) : end], *name, *args[end:]])
        return rest


add_app = typer.Typer(cls=NameFirst, no_args_is_help=True, subcommand_metavar="score … | evaluate …")
app.add_typer(add_app, name="add")

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The schedule's name, for alerts and for `remove`.")
]


@dataclass(frozen=True, slots=True)
class When:
    """What a schedule of either kind has: its name, its times, and the loss that raises an alert."""

    name: str
    cron: str | None
    timezone: str
    margin: float


@add_app.callback()
def add(
    context: typer.Context,
    name: NameArgument,
    cron: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            metavar="CRON",
            help='Minute, hour, day of month, month, day of week: "0 2 * * *" is daily at two. Needed.',
        ),
    ] = None,
    timezone: Annotated[
        str, typer.Option(metavar="ZONE", help="Time zone of --cron, such as Europe/Berlin.")
    ] = "UTC",
    margin: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="A significant loss of AUROC beyond this margin raises an alert.",
        ),
    ] = 0.02,
) -> None:
    """Add a schedule: first its name and times, then what to do.

    Example: nightread schedule add night --cron "0 2 * * *" --timezone Europe/Berlin score archive.csv
    --images /archive
    """
    # The subcommands check that there is a --cron: their --help needs none.
    context.obj = When(name, cron, timezone, margin)


@add_app.command("score", epilog=_ACTS)
@reads_table
def add_score(
    context: typer.Context,
    manifest: ArchiveArgument,
    read: ReadOptions,
    images: ArchiveImagesOption = None,
    model: ModelOption = None,
    batch_size: BatchOption = None,
    heatmaps: HeatmapsOption = "positive",
    max_missing: MaxMissingOption = 0.01,
    bits: BitsOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    modality: ModalityOption = None,
    baseline: Annotated[
        int | None,
        typer.Option(
            metavar="RUN",
            parser=find_run,
            help="Each night is compared with this run: images and scores that are not like its raise an "
            "alert. See `nightread drift`.",
        ),
    ] = None,
    send_to: SendToOption = None,
    formats: FormatsOption = None,
    tls: TlsOption = False,
    keep_last: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="When a night begins, delete the schedule's runs but its last N complete ones, as "
            "`nightread runs delete` does without --force. Default: all are kept.",
        ),
    ] = None,
) -> None:
    """Score what is new in a manifest, a folder or a PACS each time it is due, and evaluate the whole of it.

    The manifest is read, or made, again each time. Images that the model has scored are not scored again;
    another model under the same name scores all of them. A missed time is caught up once: a search in a PACS
    goes back to the day before the last time, or to --since if that is earlier.

    Example: nightread schedule add night --cron "0 2 * * *" score archive.csv --images /archive

    Example: nightread schedule add pacs --cron "0 2 * * *" score dicomweb+https://pacs.example/dicom-web
    --since 2d --send-to PACS@pacs.example:104
    """
    settings, database = ready()
    receiver = receiver_of(send_to, formats, tls=tls)
    archive = archive_of(manifest, since, until, modality)
    action = Score(
        manifest=absolute(place_of(manifest)),
        archive=archive and replace(archive, place=_place(archive)),
        images=open_source(images_of(archive, images)).root,
        model=model or settings.model,
        heatmaps=heatmaps,
        batch_size=batch_size,
        max_missing=max_missing,
        bits=bits,
        receiver=receiver,
        keep_last=keep_last,
        **read.told(),
    )
    require_order(settings, action.order)
    if baseline is not None:
        with database.read() as connection:
            find_complete_run(connection, baseline)
    if archive is None:
        _require_readable(read_order(settings, action.order)[0])
    else:
        _require_archive(settings, action)
    _add(database, context.obj, action, baseline)


def _require_archive(settings: Settings, action: Score) -> None:
    """Raise what would let every night fail: no such model, no such folder or service, no such day."""
    # pydicom takes a sixth of a second to import, which other schedules need not pay.
    from jobs.inventory.archive import search_of, today_of  # noqa: PLC0415

    find_model(action.model, settings.models)
    open_source(action.images).require()
    if action.archive is not None:
        search_of(action.archive, today_of(datetime.now(UTC)))


def _place(archive: Archive) -> str:
    """Return what an archive is called from whatever folder it is named, and on the workers' machines."""
    remote = archive.is_service or archive.is_store
    return open_source(archive.place).root if remote else str(Path(archive.place).absolute())


@add_app.command("evaluate", epilog=_ACTS)
def add_evaluate(
    context: typer.Context,
    run: Annotated[
        str, typer.Argument(metavar="RUN|latest", help="A run, or latest: the newest that is complete then.")
    ],
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="CSV",
            help="CSV with labels, also s3://…, gs://…, az://…; read again each time. Default: the run's "
            "manifest.",
        ),
    ] = None,
    label_set: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of these labels in the results; needed with --labels."),
    ] = None,
    bootstrap: Annotated[
        int,
        typer.Option(
            min=0, max=100_000, metavar="N", help="Resamples of patients for intervals; 0 for none."
        ),
    ] = 0,
    sensitivity: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, metavar="SHARE", help="Sensitivity to find a threshold for."),
    ] = None,
) -> None:
    """Evaluate a run again each time it is due, with labels that may have changed.

    Example: nightread schedule add weekly --cron "0 6 * * MON" evaluate latest --labels read.csv
    --label-set two-readers
    """
    settings, database = ready()
    if (labels is None) != (label_set is None):
        raise ScheduleError("--labels and --label-set belong together: the file and what it is called")
    action = Evaluate(
        run="latest" if run == "latest" else find_run(run),
        labels=None if labels is None else absolute(place_of(labels)),
        label_set=label_set or OWN,
        bootstrap=bootstrap,
        sensitivity=sensitivity,
    )
    findings = FINDINGS
    if action.run != "latest":
        with database.read() as connection:
            find_complete_run(connection, action.run)
            findings = model_findings(connection, action.run)
    if action.labels is not None:
        path = local_table(action.labels, settings.home)
        _require_readable(open_labels(path, findings=findings, origin=action.labels))
    _add(database, context.obj, action)


def _require_readable(manifest: Manifest) -> None:
    """Read a manifest to its end, and say what is taken of it; TableError at the first bad row."""
    with err.status(shown(f"reading {manifest.path}")):
        for _ in manifest:
            pass
    say_reading(manifest)


def _add(database: Database, when: When, action: Action, baseline: int | None = None) -> None:
    if when.cron is None:
        raise ScheduleError(
            f'when? The times are missing: nightread schedule add {when.name} --cron "0 2 * * *" …'
        )
    now = datetime.now(UTC)
    require_times(when.cron, when.timezone, now)
    schedules.add(
        database,
        name=when.name,
        cron=when.cron,
        timezone=when.timezone,
        action=action.model_dump_json(),
        margin=when.margin,
        now=now,
        baseline_id=baseline,
    )
    due = next_due(when.cron, when.timezone, now)
    say(f"schedule {when.name} is due next at {_shown(due, when.timezone)}")


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """Show the schedules, when each is due next, how the last one went, and what it waits for.

    All results: nightread sql "SELECT * FROM schedules".

    Example: nightread schedule list
    """
    _, database = ready()
    now = datetime.now(UTC)
    found = schedules.active(database)
    if as_json:
        print_json(
            [
                asdict(schedule)
                | {
                    "action": json.loads(schedule.action),
                    "next_due_at": next_due(schedule.cron, schedule.timezone, now),
                }
                for schedule in found
            ]
        )
        return
    print_table(
        ("schedule", "cron", "time zone", "does", "due next", "due last", "result"),
        (
            (
                schedule.name,
                schedule.cron,
                schedule.timezone,
                _does(read_action(schedule.action)),
                _shown(next_due(schedule.cron, schedule.timezone, now), schedule.timezone),
                schedule.due_at and _shown(schedule.due_at, schedule.timezone),
                _outcome(schedule),
            )
            for schedule in found
        ),
    )
    for schedule in found:
        if schedule.message:
            warn(f"schedule {schedule.name}: {schedule.message}")
    print_waiting(found)
    print_sendings(sending for sending in sendings.unfinished(database) if sending.schedule is not None)


@app.command("remove")
def remove(name: NameArgument) -> None:
    """End a schedule. Its runs, alerts and history stay, and its name is free again.

    Example: nightread schedule remove night
    """
    _, database = ready()
    schedules.remove(database, name, datetime.now(UTC))
    say(f"schedule {name} is removed")


def _shown(moment: datetime, timezone: str) -> str:
    """Return a moment in UTC and, where that is another, in the schedule's time zone."""
    form = "%Y-%m-%d %H:%M"
    there = moment.astimezone(ZoneInfo(timezone))
    return f"{moment:{form}} UTC" + (f" ({there:{form}} {timezone})" if there.utcoffset() else "")


def _does(action: Action) -> str:
    if isinstance(action, Score):
        what = action.archive.place if action.archive else PurePath(action.manifest).name
        to = f", results to {action.receiver.target}" if action.receiver else ""
        return f"score {what} by {action.model}{to}"
    by = f" by {PurePath(action.labels).name}" if action.labels else ""
    return f"evaluate {'the latest run' if action.run == 'latest' else f'run {action.run}'}{by}"


def _outcome(schedule: Schedule) -> str | None:
    if schedule.run_id is not None:
        sending = schedule.sending_state and f", sending: {schedule.sending_state}"
        return f"run {schedule.run_id}: {schedule.run_status}{sending or ''}"
    if schedule.evaluation_id is not None:
        return f"evaluation {schedule.evaluation_id}: {schedule.evaluation_state}"
    if schedule.waits_for is not None:
        return "waiting"
    return schedule.state and schedule.state.replace("_", " ")
