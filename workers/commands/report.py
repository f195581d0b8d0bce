"""The command `nightread report`: a run's figures and pictures as one page that needs nothing else."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.commands.options import RunArgument
from jobs.commands.session import existing
from jobs.console import EXIT_INCOMPLETE, EXIT_USAGE, REPLACING, err, fail, say, shown
from jobs.report.page import write_report
from workers.archive import RunPictures

app = typer.Typer()


@app.command()
def report(
    run: RunArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Page to write; an existing file is replaced. Default: run-RUN.html.",
        ),
    ] = None,
) -> None:
    """Write a run's report: one HTML file with its figures, curves and overlays, to read, print or send.

    It needs no network and no other file. An unfinished run has one too, with its results so far.

    Example: nightread report 7 -o july.html
    """
    output = output or Path(f"run-{run}.html")
    if not output.parent.is_dir():
        fail(f"{output}: there is no folder {output.parent}; make it first", EXIT_USAGE)
    if output.is_dir():
        fail(f"{output} is a folder; name the file to write", EXIT_USAGE)
    settings, database = existing()
    replaced = output.exists()
    try:
        with err.status(shown(f"writing {output}")):
            written = write_report(database, settings, run, output, RunPictures(database, settings, run))
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror or error}", EXIT_INCOMPLETE)
    say(f"wrote {output} ({written / 1e6:.1f} MB){REPLACING if replaced else ''}")
