"""The command `nightread status`: the progress of the runs, and what those that have not ended wait for."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Final

import typer

from config.settings import Settings
from db import queries, schedules, sendings
from db.database import Database
from db.health import seconds_still
from db.queries import Progress
from db.states import RunStatus
from jobs.commands.options import SomeRunArgument
from jobs.commands.session import NoRunsError, existing
from jobs.console import EXIT_USAGE, fail, out, print_json, print_table, say, warn
from jobs.results import print_alerts, print_changed, print_sendings, print_waiting

app = typer.Typer()

_IDLE_LEASES: Final = 2.0
"""Lease's lifetimes. Whoever works on a run, or waits for it, leaves a mark several times within one."""


@app.command()
def status(
    run: SomeRunArgument = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show a live bar until the run ends.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per run.")] = False,
) -> None:
    """Show the progress of runs, what they and schedules wait for, and the alerts of the last seven days.

    Example: nightread status 7 --follow
    """
    try:
        settings, database = existing()
    except NoRunsError as error:
        if as_json:
            print_json([])
        else:
            say(str(error))
        return
    found = queries.all_progress(database) if run is None else [queries.progress(database, run)]
    if follow:
        from jobs.dispatch.follow import follow as follow_run  # noqa: PLC0415  # without --follow no live bar
        from jobs.dispatch.obstacles import asking  # noqa: PLC0415

        if not found:
            fail("there are no runs yet", EXIT_USAGE)
        found = [follow_run(database, found[0].run_id, out, asking(settings, database))]
    waiting = _waiting(settings, database, found)
    if as_json:
        print_json(
            [
                asdict(progress)
                | {
                    "reading": queries.reading_of(database, progress.run_id),
                    "sendings": [asdict(sending) for sending in sendings.of_run(database, progress.run_id)],
                    "waiting_for": waiting.get(progress.run_id, []),
                }
                for progress in found
            ]
        )
        return
    print_table(
        ("run", "status", "model", "images", "scored", "failed", "pending", "images/s"),
        (
            (
                progress.run_id,
                progress.status,
                progress.model,
                progress.images,
                progress.scored,
                progress.failed,
                progress.pending,
                progress.images_per_second,
            )
            for progress in found
        ),
    )
    for progress in found:
        if progress.message:
            warn(f"run {progress.run_id}: {progress.message}")
        for line in waiting.get(progress.run_id, []):
            warn(f"run {progress.run_id}: waiting: {line}")
    if run is not None:
        print_changed(database, run)
    print_sendings(sendings.unfinished(database) if run is None else sendings.of_run(database, run))
    print_waiting(schedules.active(database))
    print_alerts(database)


def _waiting(settings: Settings, database: Database, found: Sequence[Progress]) -> dict[int, list[str]]:
    """Return what each run that has not ended waits for, as far as it can be asked from here."""
    open_runs = [progress for progress in found if not progress.settled]
    if not open_runs:
        return {}
    from jobs.dispatch.obstacles import obstacles  # noqa: PLC0415  # loads Celery

    shared = [*obstacles(settings, database)]
    return {progress.run_id: shared or [*_idle(settings, database, progress)] for progress in open_runs}


def _idle(settings: Settings, database: Database, progress: Progress) -> Sequence[str]:
    """Say what a run's workers wait for, or that there are none, where that is so."""
    if progress.waits_for:
        return (progress.waits_for,)
    if progress.status != RunStatus.RUNNING:
        return ()
    still = seconds_still(database, progress.run_id)
    if still > _IDLE_LEASES * settings.lease_seconds:
        since = timedelta(seconds=round(still))
        return (
            f"nothing has moved for {since}; start workers and beat, or nightread resume {progress.run_id}",
        )
    return ("no worker has claimed a batch yet",) if progress.started_at is None else ()
