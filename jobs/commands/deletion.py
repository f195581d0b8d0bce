"""The commands `nightread runs`: what is done to runs that are over."""

import sys
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from config.settings import Settings
from db import deletion
from db.database import Database
from db.deletion import Deletion, Naming
from db.states import RunStatus
from jobs.commands.runs import find_any_run
from jobs.commands.session import existing
from jobs.console import EXIT_INCOMPLETE, EXIT_USAGE, err, fail, note, say
from jobs.deletion import Gone, carry_out

app = typer.Typer(help="Delete runs that are over.", no_args_is_help=True)


@app.callback()
def runs() -> None:
    """Delete runs that are over."""


@app.command("delete")
def delete(
    runs: Annotated[
        list[int],
        typer.Argument(
            metavar="RUN",
            parser=find_any_run,
            help="Numbers of runs, or last, or names of models or manifests: the newest run of each.",
        ),
    ],
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Also evaluations that comparisons, alerts, thresholds and calibrations name, and with them "
            "comparisons, alerts and checks of drift; and a run whose images a schedule would score again.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    vacuum: Annotated[
        bool,
        typer.Option(
            "--vacuum",
            help="Free the space at once: SQLite's file is written again, PostgreSQL's tables are vacuumed.",
        ),
    ] = False,
) -> None:
    """Delete runs: scores, maps, overlays, failures, deliveries and evaluations.

    An evaluation stays if a comparison or an alert names it, or if thresholds or a calibration of another run
    are its. A run that is at work is refused, as is the baseline of a schedule, and a run whose scores a
    schedule counts on. A manifest's rows go with the last run that needs them. What a deletion that was cut
    off has left is deleted by whoever reconciles next, or by the same command.

    Example: nightread runs delete 7 8 --yes
    """
    settings, database = existing()
    # All are looked at first: either all can be deleted, or none is.
    found = [deletion.look_at(database, run_id, force=force) for run_id in dict.fromkeys(runs)]
    wanted = [run for run in found if run.status != RunStatus.DELETED]
    for run in found:
        note(_what(run, force=force))
    if not wanted:
        return
    if not yes:
        _ask(wanted)
    before = deletion.space(database)
    about = sum(deletion.share_of(database, run.run_id) for run in wanted) if before.free is None else 0
    for run in wanted:
        _delete(database, settings, run, force=force)
    if before.free is not None:
        about = (deletion.space(database).free or 0) - before.free
    if vacuum:
        with err.status("freeing the space"):
            deletion.vacuum(database)
    say(_space(database, before.total, about, vacuumed=vacuum))


def _what(run: Deletion, *, force: bool) -> str:
    if run.status == RunStatus.DELETED:
        return f"run {run.run_id} is deleted already"
    if run.status == RunStatus.DELETING:
        return f"run {run.run_id} is deleted in part; the rest follows"
    named = f"; {'with' if force else 'what stays:'} {_named(run.named)}" if run.named else ""
    return f"run {run.run_id}: {run.images:,} images{named}"


def _named(named: list[Naming]) -> str:
    """Say which evaluations something names, each once."""
    by: dict[int, list[str]] = {}
    for naming in named:
        by.setdefault(naming.evaluation_id, []).append(naming.by)
    return ", ".join(f"evaluation {number} ({', '.join(names)})" for number, names in by.items())


def _ask(wanted: list[Deletion]) -> None:
    if not sys.stdin.isatty():
        fail("nobody is there to ask; --yes deletes without a question", EXIT_USAGE)
    numbers = ", ".join(str(run.run_id) for run in wanted)
    if not typer.confirm(f"Delete run{'s' * (len(wanted) > 1)} {numbers} for good?", err=True):
        fail("nothing was deleted", EXIT_INCOMPLETE)


def _delete(database: Database, settings: Settings, run: Deletion, *, force: bool) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    gone = Gone()
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        task = bar.add_task(f"deleting run {run.run_id}", total=run.images)
        deletion.mark(database, run.run_id, force=force)
        for step in carry_out(database, settings, run.run_id):
            gone = Gone(*(sum(pair) for pair in zip(gone, step, strict=True)))
            bar.update(task, completed=gone.images)
    overlays = f" and {gone.overlays:,} overlays ({_size(gone.overlay_bytes)})" if gone.overlays else ""
    # Not what was counted here: beat's ticks may have helped.
    say(f"run {run.run_id} is deleted: {run.images:,} images{overlays}")


def _space(database: Database, total: int, about: int, *, vacuumed: bool) -> str:
    """Say how much space came back, and when."""
    now = deletion.space(database).total
    smaller = f"the database has {_size(now)}, {_size(max(0, total - now))} less than before"
    if vacuumed:
        if database.dialect == "sqlite":
            return smaller
        return f"{smaller}; about {_size(about)} of it are free for new rows"
    if database.dialect == "sqlite":
        return (
            f"{_size(about)} of the {_size(now)} of {database.file} are free for new rows now; the file "
            "stays as large as it is: --vacuum makes it smaller"
        )
    return (
        f"about {_size(about)} of the database's {_size(now)} are free for new rows once PostgreSQL's "
        "autovacuum has passed, usually within minutes; --vacuum does it at once. Its files stay as large as "
        "they are"
    )


def _size(size: int) -> str:
    """Return bytes as a person reads them."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"
