"""The command `nightread doctor`: what a night depends on, each in a line, with what to do."""

from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Annotated, Final

import typer

from jobs.commands.reading import reads_table
from jobs.commands.session import quiet_settings
from jobs.console import EXIT_INCOMPLETE, print_json, say
from jobs.doctor.checks import CHECKS, examine
from jobs.doctor.manifest import read as read_manifest
from jobs.doctor.verdict import Night, State, Verdict
from jobs.submit import Order
from jobs.tables.reading import ReadOptions

app = typer.Typer()

_MODEL: Final = {"model": "workers.scoring.golden:ask"}
"""Loads model code, which the checks in jobs/ cannot."""

_STYLES: Final = {State.WARNING: "yellow", State.FAULT: "bold red", State.UNASKED: "dim"}


@app.command()
@reads_table
def doctor(
    read: ReadOptions,
    manifest: Annotated[
        Path | None,
        typer.Argument(
            metavar="MANIFEST",
            help="Table to be scored, to check that it and its images can be read.",
        ),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|URI", help="Folder of the images, or s3://…, to check that it can be read."
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Number of images to score, to check that there is space. Default: the manifest's.",
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Do not load the model, which takes some seconds, and more the first time."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")] = False,
) -> None:
    """Check everything that a night's work depends on, one line each, with what to do about it.

    Exit code 0: nothing stands in the way, though there may be warnings; 1: there is a fault.

    Example: nightread doctor Data_Entry_2017.csv --images /archive/images

    Example: nightread doctor --images /archive/images --count 112120
    """
    settings = quiet_settings()
    night = Night(settings, count, images)
    first = []
    if manifest is not None:
        if images is None:
            raise typer.BadParameter(
                "name the folder that the names in the table are relative to", param_hint="--images"
            )
        if count is not None:
            raise typer.BadParameter("the manifest says how many there are", param_hint="--count")
        night, verdict = read_manifest(night, Order(manifest, images, settings.model, read=read))
        first = [verdict]
    verdicts = []
    for verdict in chain(first, examine(night, CHECKS if quick else {**CHECKS, **_MODEL})):
        verdicts.append(verdict)
        if not as_json:
            say(line_of(verdict), style=_STYLES.get(verdict.state))
    if as_json:
        print_json([asdict(verdict) for verdict in verdicts])
    if any(verdict.state is State.FAULT for verdict in verdicts):
        raise SystemExit(EXIT_INCOMPLETE)


def line_of(verdict: Verdict) -> str:
    """Return a verdict as a line."""
    advice = f"; to do: {verdict.advice}" if verdict.advice else ""
    return f"{verdict.state:<8} {verdict.name}: {verdict.seen}{advice}"
