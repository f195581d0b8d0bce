"""The command `nightread worklist`: a run's images in the order in which somebody should look at them."""

from pathlib import Path
from typing import Annotated, Final

import typer

from db import queries
from jobs.commands.options import JsonOption, RunArgument
from jobs.commands.session import existing, require_suited
from jobs.console import EXIT_INCOMPLETE, EXIT_USAGE, REPLACING, err, fail, note, print_json, print_table, say
from jobs.worklist import FORMATS, read_worklist, write_worklist

app = typer.Typer()

_SHOWN: Final = 20
"""How many images are printed where no file is asked for."""


@app.command()
def worklist(
    run: RunArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write: .csv, .html or .json. Default: 20 rows are printed.",
        ),
    ] = None,
    as_json: JsonOption = False,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="The first N images only.")] = None,
) -> None:
    """Put a run's images in the order in which somebody should look at them, with the reason for each.

    Images over a threshold come first, then by the percentile of their highest finding among the run's
    images. With labels, it says how many positive images are in the first tenth.

    Example: nightread worklist 7 -o worklist.html --limit 200
    """
    if output is not None and output.suffix.lower() not in FORMATS:
        fail(f"{output}: the file's name must end in {', '.join(FORMATS)}", EXIT_USAGE)
    if output is not None and not output.parent.is_dir():
        fail(f"{output}: there is no folder {output.parent}; make it first", EXIT_USAGE)
    if output is not None and as_json:
        fail("--json prints; with -o the file's name says the format", EXIT_USAGE)
    _, database = existing()
    require_suited(database, "worklist", run)
    progress = queries.progress(database, run)
    if not progress.settled:
        note(f"run {run} is {progress.status}: these are its images so far")
    with err.status("ordering"):
        rows, worth = read_worklist(database, run, limit or (None if output or as_json else _SHOWN))
    if output is None and as_json:
        print_json(rows)
        return
    if output is None:
        ensemble = any(row["spread"] is not None for row in rows)
        print_table(
            (
                "place",
                "image",
                "finding",
                "probability",
                "threshold",
                "percentile",
                "over threshold",
                "map's peak",
                *(["spread"] if ensemble else []),
            ),
            (
                (
                    row["place"],
                    row["image_index"],
                    row["finding"],
                    row["probability"],
                    row["threshold"],
                    f"{100 * row['percentile']:.1f}",
                    row["flagged"],
                    None if row["peak_x"] is None else f"{row['peak_x']}, {row['peak_y']}",
                    *([row["spread"]] if ensemble else []),
                )
                for row in rows
            ),
            title=f"run {run}: the first {len(rows):,} of {progress.scored:,} scored images",
        )
        say(worth.sentence())
        return
    replaced = output.exists()
    try:
        write_worklist(run, rows, worth, output)
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror or error}", EXIT_INCOMPLETE)
    say(f"wrote {output}: {len(rows):,} images{REPLACING if replaced else ''}. {worth.sentence()}")
