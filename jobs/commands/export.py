"""The command `nightread export`: a run's rows as a file, or to standard output."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from db import queries
from jobs.commands.options import RunArgument
from jobs.commands.session import existing
from jobs.console import EXIT_INCOMPLETE, EXIT_USAGE, REPLACING, err, fail, note, say, shown
from jobs.export import FORMATS, Format, What, write_csv, write_file

app = typer.Typer()


@app.command()
def export(
    run: RunArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write, .csv or .parquet; - is standard output. Default: run-RUN.csv, or such as "
            "run-RUN-failures.csv with --what.",
        ),
    ] = None,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="Default: as the file's name ends. Parquet keeps the columns' types."),
    ] = None,
    what: Annotated[What, typer.Option(help="The view whose rows are written.")] = "scores",
    wide: Annotated[
        bool, typer.Option("--wide", help="One row per image, with one column of probabilities per finding.")
    ] = False,
    for_spreadsheet: Annotated[
        bool,
        typer.Option(
            "--spreadsheet-safe",
            help="Put an apostrophe before each text of a CSV that a spreadsheet would take for a formula "
            "(=, +, -, @).",
        ),
    ] = False,
) -> None:
    """Write a run's rows to a CSV or Parquet file, ordered by image and finding.

    It needs little memory, whatever their number. A file that is there already is replaced once the new one
    is whole, which is said.

    Example: nightread export 7 -o scores.parquet

    Example: nightread export 7 --wide -o - | head
    """
    output = output or Path(f"run-{run}{'' if what == 'scores' else f'-{what}'}.{format_ or 'csv'}")
    to_stdout = str(output) == "-"
    if wide and what != "scores":
        fail(f"--wide is for scores; {what} have rows of their own", EXIT_USAGE)
    if to_stdout and format_ == "parquet":
        fail("-o -: Parquet cannot go to standard output; name a file, or take --format csv", EXIT_USAGE)
    kind: Format = "csv" if to_stdout else _format_of(output, format_)
    if for_spreadsheet and kind == "parquet":
        fail("--spreadsheet-safe is for CSV; Parquet has no formulas", EXIT_USAGE)
    _, database = existing()
    progress = queries.progress(database, run)
    if not progress.settled:
        note(f"run {run} is {progress.status}: these are its rows so far")
    with err.status(shown(f"exporting {what}")) as status:

        def progress_of(rows: int) -> None:
            status.update(shown(f"exporting {what}: {rows:,} rows"))

        if to_stdout:
            with open(sys.stdout.fileno(), "w", encoding="utf-8", newline="", closefd=False) as stream:
                write_csv(
                    database,
                    run,
                    stream,
                    what=what,
                    wide=wide,
                    for_spreadsheet=for_spreadsheet,
                    progress=progress_of,
                )
            return
        replaced = output.exists()
        try:
            count = write_file(
                database,
                run,
                output,
                kind,
                what=what,
                wide=wide,
                for_spreadsheet=for_spreadsheet,
                progress=progress_of,
            )
        except OSError as error:
            fail(f"{output} cannot be written: {error.strerror or error}", EXIT_INCOMPLETE)
    say(f"wrote {output}: {count:,} rows{REPLACING if replaced else ''}")


def _format_of(output: Path, asked: Format | None) -> Format:
    """Return the format of a file that can be written; the command ends if it cannot."""
    named = FORMATS.get(output.suffix.lower())
    if asked and named != asked:
        fail(f"{output}: with --format {asked} the file's name must end in .{asked}", EXIT_USAGE)
    if named is None:
        fail(f"{output}: the file's name must end in .csv or .parquet", EXIT_USAGE)
    if not output.parent.is_dir():
        fail(f"{output}: there is no folder {output.parent}; make it first", EXIT_USAGE)
    if output.exists() and not output.is_file():
        fail(f"{output} is there and no file; name another", EXIT_USAGE)
    return named
