"""The command `nightread resume`: a run that stopped continues to its end, or tries its failures again."""

from typing import Annotated

import typer

from config.failures import Reason
from db import queries, runs
from db.retries import retry_failed
from db.sendings import unsent
from db.states import RunStatus
from jobs.commands.options import DetachOption, RunArgument
from jobs.commands.session import existing
from jobs.console import note
from jobs.dispatch.follow import claimed, finish

app = typer.Typer()


@app.command()
def resume(
    run: RunArgument,
    failed: Annotated[
        bool, typer.Option("--failed", help="Score the failed images of a complete or failed run again.")
    ] = False,
    reason: Annotated[
        Reason | None, typer.Option(help="With --failed: only images that failed for this reason.")
    ] = None,
    detach: DetachOption = False,
) -> None:
    """Continue a run that was stopped or cancelled, and wait for its end. Nothing is scored twice.

    With --failed, the images of a run that failed are tried again in the same run, once their files,
    the folder or the disk are repaired. Their failures stay in the view `earlier_failures`.

    Example: nightread resume 7

    Example: nightread resume 7 --failed --reason missing
    """
    if reason is not None and not failed:
        raise typer.BadParameter("goes with --failed", param_hint="--reason")
    settings, database = existing()
    with claimed(database, settings) as place:
        if failed:
            count = retry_failed(database, run, reason)
            note(f"run {run}: {count:,} failed images are scored again" if count else _nothing(run, reason))
        # It may be complete, and its results not sent.
        worked = runs.resume(database, run) or unsent(database, run)
        ended = place.work_on(run, detach=detach) if worked else queries.progress(database, run)
    if not (failed or worked) and ended.status == RunStatus.COMPLETE:
        note(f"run {run} is complete already: there was nothing to do")
        if ended.failed:
            note(f"to score its {ended.failed:,} failed images again: nightread resume {run} --failed")
    finish(database, ended, place)


def _nothing(run: int, reason: Reason | None) -> str:
    which = "no failed image" if reason is None else f"no image that failed as {reason}"
    return f"run {run} has {which} to score again"
