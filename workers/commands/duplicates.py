"""The command `nightread duplicates`: images that are one film, within an archive or in two of them."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from config.files import write_whole
from config.machine import cores
from db.manifests import manifest_of, named_patients
from jobs.commands.options import JsonOption
from jobs.commands.reading import reads_table, say_reading
from jobs.commands.runs import find_run
from jobs.commands.session import existing, quiet_settings
from jobs.console import (
    EXIT_INCOMPLETE,
    EXIT_USAGE,
    REPLACING,
    err,
    fail,
    figure,
    note,
    print_json,
    print_readable,
    say,
    warn,
)
from jobs.sources.source import open_source
from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions
from workers.duplicates import Archive, Duplicates, Pair, Reader, Telling

app = typer.Typer()

_SHOWN: Final = 50
"""How many pairs are printed where no file is asked for."""


@app.command()
@reads_table
def duplicates(
    archive: Annotated[
        str,
        typer.Argument(
            metavar="RUN|MANIFEST",
            help="A run: its number, last, or a name. With --images a table with one image per row.",
        ),
    ],
    read: ReadOptions,
    images: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder that the image names are relative to. Needed with a table."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="RUN|MANIFEST", help="Find only films that are in this one, too: a run, or a table."
        ),
    ] = None,
    against_images: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder of the images of --against. Default: --images.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="CSV to write. Default: 50 pairs are printed."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find films that are there twice: as the same file, or resized, brightened, cropped or inverted.

    Each pair has the correlation of what both images show once one is laid over the other; two films of one
    patient are no pair. A film that is there three times is in two pairs. All images are read once, no model
    is needed, and nothing is written to the database. docs/duplicates.md says what is found and what is not.

    Example: nightread duplicates last

    Example: nightread duplicates train.csv --images images/ --against test.csv -o leaks.csv
    """
    _require_file(output, as_json=as_json)
    if against_images is not None and (against is None or images is None):
        fail("--against-images: give --images and --against, too", EXIT_USAGE)
    settings = quiet_settings()
    read = read.fetched(settings.home)
    here = _archive(archive, images, read)
    there = None if against is None else _archive(against, against_images or images, read)
    found = find_duplicates(here, there, settings.max_image_pixels)
    if found.unusable:
        name, error = found.unusable[0]
        warn(f"images that cannot be read: {len(found.unusable):,}, the first: {name}: {error}")
    if not found.images:
        fail("no image can be read: nothing was compared", EXIT_INCOMPLETE)
    if as_json:
        print_json([pair._asdict() for pair in found.pairs])
        return
    _write(found.pairs, output)
    say(_summary(found, within=there is None))


def _require_file(output: Path | None, *, as_json: bool) -> None:
    if output is None:
        return
    if as_json:
        fail("--json prints; -o writes CSV", EXIT_USAGE)
    if output.suffix != ".csv":
        fail(f"{output}: the file's name must end in .csv", EXIT_USAGE)
    if not output.parent.is_dir():
        fail(f"{output}: there is no folder {output.parent}; make it first", EXIT_USAGE)


def _write(pairs: Sequence[Pair], output: Path | None) -> None:
    if output is not None:
        replaced = output.exists()
        try:
            write_whole(output, _as_csv(pairs))
        except OSError as error:
            fail(f"{output} cannot be written: {error.strerror or error}", EXIT_INCOMPLETE)
        say(f"wrote {output}: {len(pairs):,} pairs{REPLACING if replaced else ''}")
    elif pairs:
        rows = [(*pair[:3], figure(pair.correlation), pair.patients) for pair in pairs[:_SHOWN]]
        print_readable(Pair._fields, rows)
        if len(pairs) > _SHOWN:
            note(f"the first {_SHOWN} of {len(pairs):,} pairs; -o FILE.csv has all")


def find_duplicates(here: Archive, there: Archive | None, max_pixels: int) -> Duplicates:
    """Find the duplicates in one archive, or of it in another one, with a bar while it lasts."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        reading = bar.add_task("reading images", total=None)
        searching = bar.add_task("comparing them", total=None, visible=False)
        telling = Telling(
            lambda done, images: bar.update(reading, completed=done, total=images),
            lambda done, blocks: bar.update(searching, completed=done, total=blocks, visible=True),
        )
        with Reader(max_pixels, cores()) as reader:
            return reader.find(here, there, telling)


def _archive(word: str, images: str | None, read: ReadOptions) -> Archive:
    """Open what a person names: a table where a folder of images is given, else a run."""
    if images is not None:
        source = open_source(images)
        source.require()
        table = Manifest(Path(word), read, root=source.root)
        rows = [(row.image_index, row.patient_id) for row in table]
        say_reading(table)
    else:
        if Path(word).is_file():
            fail(f"{word} is a file; give the folder of its images with --images", EXIT_USAGE)
        run = find_run(word)
        _, database = existing()
        with database.read() as connection:
            scored = manifest_of(connection, run)
            rows = named_patients(connection, scored.manifest_id)
        source = open_source(scored.root)
        source.require()
    return Archive(source, [name for name, _ in rows], [patient for _, patient in rows])


def _summary(found: Duplicates, *, within: bool) -> str:
    if not found.pairs:
        return f"{found.images:,} images; no film {'is there twice' if within else 'is in both'}"
    others = len({pair.other_image for pair in found.pairs})
    what = f"{others:,} are copies of others" if within else f"{others:,} of the second are in the first"
    different = sum(pair.patients == "different" for pair in found.pairs)
    named = f"; pairs of two patients by the manifest: {different:,}" if different else ""
    return f"{found.images:,} images; {what}{named}"


def _as_csv(pairs: Sequence[Pair]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Pair._fields)
    writer.writerows(pairs)
    return text.getvalue().encode()
