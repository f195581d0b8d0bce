"""The command `nightread export`: a run's rows as a file, or its results as DICOM objects in a folder."""

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from config.machine import cores
from config.settings import Settings
from db import queries
from db.database import Database
from jobs.commands.options import RunArgument
from jobs.commands.session import existing
from jobs.console import (
    EXIT_INCOMPLETE,
    EXIT_SOME_FAILED,
    EXIT_USAGE,
    REPLACING,
    err,
    fail,
    note,
    say,
    shown,
    warn,
)
from jobs.deliveries.kinds import kinds_of
from jobs.export import FORMATS, Format, What, write_csv, write_file
from jobs.kinds.known import kind_of, noun_of
from jobs.kinds.objects import OBJECT_KINDS, ObjectKind

if TYPE_CHECKING:
    from workers.outputs.dicom.files import Tally

app = typer.Typer()

AnyFormat = Literal[Format, ObjectKind]


@app.command()
def export(
    run: RunArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER",
            help="File to write, .csv or .parquet; - is standard output. Default: run-RUN.csv, or such as "
            "run-RUN-failures.csv with --what. For DICOM the folder, such as run-RUN-dicom-sr.",
        ),
    ] = None,
    format_: Annotated[
        AnyFormat | None,
        typer.Option(
            "--format",
            help="Default: as the file's name ends. Parquet keeps the columns' types. dicom-sr: a structured "
            "report per image. dicom-sc: an overlay per finding over its threshold. dicom-gsps: boxes that "
            "a viewer draws on the film. dicom-seg: the mask of each volume.",
        ),
    ] = None,
    what: Annotated[
        What | None,
        typer.Option(help="The view whose rows are written. Default: scores, or segments for volumes."),
    ] = None,
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
    jobs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processes that make DICOM objects. Default: one per core."),
    ] = None,
) -> None:
    """Write a run's rows to a CSV or Parquet file, or its results as DICOM objects.

    Rows are ordered by image and finding. DICOM objects stand in the studies of their images; docs/pacs.md
    says what is in them. Either needs little memory, however many there are. An existing file is replaced
    once the new one is complete, and the command says so.

    Example: nightread export 7 -o scores.parquet

    Example: nightread export 7 --wide -o - | head

    Example: nightread export 7 --format dicom-sr -o reports
    """
    if format_ in OBJECT_KINDS:
        if wide or for_spreadsheet or what is not None:
            fail("--what, --wide and --spreadsheet-safe are for CSV and Parquet", EXIT_USAGE)
        settings, database = existing()
        _export_objects(settings, database, run, format_, output, jobs)
        return
    format_ = cast(Format | None, format_)
    to_stdout = str(output) == "-"
    if to_stdout and format_ == "parquet":
        fail("-o -: Parquet cannot go to standard output; name a file, or take --format csv", EXIT_USAGE)
    _, database = existing()
    what = what or cast(What, kind_of(database, run).view)
    if wide and what != "scores":
        fail(f"--wide is for scores; {what} have rows of their own", EXIT_USAGE)
    output = output or Path(f"run-{run}{'' if what == 'scores' else f'-{what}'}.{format_ or 'csv'}")
    kind: Format = "csv" if to_stdout else _format_of(output, format_)
    if for_spreadsheet and kind == "parquet":
        fail("--spreadsheet-safe is for CSV; Parquet has no formulas", EXIT_USAGE)
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


def _export_objects(
    settings: Settings, database: Database, run: int, kind: ObjectKind, output: Path | None, jobs: int | None
) -> None:
    folder = output or Path(f"run-{run}-{kind}")
    if folder.exists() and not folder.is_dir():
        fail(f"{folder} is there and no folder; name another", EXIT_USAGE)
    if not folder.parent.is_dir():
        fail(f"{folder}: there is no folder {folder.parent}; make it first", EXIT_USAGE)
    kinds_of(database, run, (kind,))
    noun = noun_of(database, run)
    progress = queries.progress(database, run)
    if not progress.settled:
        note(f"run {run} is {progress.status}: these are its {noun}s so far")
    # What makes DICOM objects takes a second to load, which an export of rows does not spend.
    files = import_module("workers.outputs.dicom.files")
    with err.status(shown(f"exporting {kind}")) as status:
        try:
            tally = files.write_files(
                database,
                run,
                kind,
                folder,
                max_pixels=settings.max_image_pixels,
                outputs=settings.overlays,
                processes=jobs or cores(),
                progress=lambda images: status.update(
                    shown(f"exporting {kind}: {images:,} of {progress.scored:,} {noun}s")
                ),
            )
        except OSError as error:
            fail(f"{error.filename or folder} cannot be written: {error.strerror or error}", EXIT_INCOMPLETE)
    _say_tally(tally, run, noun, folder)


def _say_tally(tally: "Tally", run: int, noun: str, folder: Path) -> None:
    if tally.without:
        note(f"{tally.without:,} {noun}s have no finding over its threshold, and nothing to show")
    if tally.other_format:
        note(f"{tally.other_format:,} {noun}s are no DICOM files: they have no study to stand in")
    if tally.other_format and tally.other_format == tally.images:
        fail(f"no {noun} of run {run} is a DICOM file, so there are no DICOM results", EXIT_USAGE)
    replacing = f", replacing {tally.replaced:,} that were there" if tally.replaced else ""
    say(f"wrote {tally.files:,} files of {tally.images:,} {noun}s to {folder}{replacing}")
    if tally.unusable:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in tally.unusable.most_common())
        warn(f"{noun}s that cannot be read again: {reasons}")
        raise typer.Exit(EXIT_SOME_FAILED)
