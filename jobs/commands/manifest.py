"""The command `nightread manifest`: a folder of files becomes a manifest and a list of what is not in it."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from config.cards.segmentation import CHANNEL_SPELLINGS
from config.files import write_whole
from jobs.archive import Archive
from jobs.commands.inventory import look_for_cases, look_into, say_inventory
from jobs.commands.options import ModalityOption, SinceOption, UntilOption, archive_of
from jobs.commands.session import quiet_settings
from jobs.console import EXIT_INCOMPLETE, EXIT_USAGE, fail, note, say
from jobs.inventory.cases import Cases, case_lines
from jobs.inventory.inventory import Choice, Inventory
from jobs.inventory.pseudonyms import PatientId, UidPolicy
from jobs.inventory.tables import cases_csv, manifest_csv, skipped_csv
from jobs.tables.reading import View

app = typer.Typer()


@app.command()
def manifest(
    archive: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|URL",
            help="Folder of DICOM, PNG or JPEG files, with all below it; or a DICOMDIR; or "
            "s3://BUCKET/PREFIX, gs:// or az://; or the root of a DICOMweb service, dicomweb+https://HOST/PATH.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Manifest to write, .csv.")],
    kind: Annotated[
        Literal["classification", "segmentation"],
        typer.Option(
            help="classification: chest radiographs. segmentation: cases of volumes, a study's DICOM series "
            "of MR in a folder each."
        ),
    ] = "classification",
    sequences: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Of volumes: the sequences that a case has, of FLAIR, T1, T1Gd and T2. Default: all four.",
        ),
    ] = None,
    skipped: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="List of the files that are not in it, with reasons. Default: beside it, as .skipped.csv.",
        ),
    ] = None,
    patient_id: Annotated[
        PatientId,
        typer.Option(
            help="hash: a pseudonym, the same in every run with the key in NIGHTREAD_HOME. keep: as the "
            "files have it. none: left out."
        ),
    ] = "hash",
    uid: Annotated[
        UidPolicy,
        typer.Option(help="keep: as the files have them. hash: replaced, the same way in every run."),
    ] = "keep",
    view: Annotated[
        View, typer.Option(help="frontal: skip laterals and obliques; all: keep every view.")
    ] = "frontal",
    only_dicom: Annotated[
        bool, typer.Option("--only-dicom", help="Skip PNG and JPEG files, such as previews.")
    ] = False,
    skip_burned_in: Annotated[
        bool,
        typer.Option("--skip-burned-in", help="Skip films that say that text is burned into their pixels."),
    ] = False,
    since: SinceOption = None,
    until: UntilOption = None,
    modality: ModalityOption = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Processes that read files, or requests to a store or a service at a time. Default: one per "
            "core; 32; 8.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there already.")] = False,
) -> None:
    """Make a manifest of a folder, bucket or PACS: its frontal chest radiographs, with what their files say.

    Files are known by their content. Files that are not in the manifest are listed in a second file with the
    reason; together the two list every file. Names, birth dates and accession numbers are not kept. The
    manifest is for `nightread score MANIFEST --images FOLDER|URL`. Credentials for a service come from the
    settings NIGHTREAD_DICOMWEB_TOKEN, or _USER and _PASSWORD.

    With --kind segmentation, each row is a study with one series per sequence, which the words of its
    description tell, and names their folders. A study with several series of one sequence, or with none, is
    in the second file.

    Example: nightread manifest /archive/2024 -o 2024.csv

    Example: nightread manifest s3://hospital-archive/2024 -o 2024.csv

    Example: nightread manifest /media/cd/DICOMDIR -o cd.csv --patient-id keep

    Example: nightread manifest dicomweb+https://pacs.example/dicom-web -o night.csv --since yesterday

    Example: nightread manifest /archive/brains -o cases.csv --kind segmentation
    """
    settings = quiet_settings()
    if not output.name:
        fail("-o: name the file to write, such as manifest.csv", EXIT_USAGE)
    beside = skipped or output.with_suffix(".skipped.csv")
    _require_writable((output, beside), force=force)
    if kind == "segmentation":
        foreign = {
            "--view": view != "frontal",
            "--only-dicom": only_dicom,
            "--skip-burned-in": skip_burned_in,
            "--uid": uid != "keep",
            "--since": since,
            "--until": until,
            "--modality": modality,
        }
        _refuse_foreign(foreign, "radiographs", kind)
        found = look_for_cases(settings, _folder(archive), _sequences(sequences), jobs)
        found = found.identified(settings.home, patient_id)
        _write(output, cases_csv(found) if found.cases else b"", beside, found, force=force)
        _say_cases(found, output, beside)
        return
    _refuse_foreign({"--sequences": sequences}, "volumes", kind)
    asked = archive_of(archive, since, until, modality) or Archive(archive)
    if asked.is_service and uid == "hash":
        fail("--uid hash: the names of a service's images are made of their UIDs; leave it out", EXIT_USAGE)
    choice = Choice(view == "all", only_dicom, skip_burned_in)
    inventory = look_into(settings, asked, choice, jobs)
    inventory = inventory.identified(settings.home, patient_id, uid)
    _write(output, manifest_csv(inventory) if inventory.films else b"", beside, inventory, force=force)
    say_inventory(inventory)
    say(f"wrote {beside}")
    if not inventory.found:
        fail(f"{inventory.root}: nothing is found; ask for more, with other options", EXIT_USAGE)
    if not inventory.films:
        fail(f"{archive}: none of its files is a frontal radiograph; {beside} says why", EXIT_USAGE)
    arguments = shlex.join((str(output), "--images", inventory.root))
    say(f"wrote {output}; to score it: nightread score {arguments}")


def _refuse_foreign(given: Mapping[str, object], what: str, kind: str) -> None:
    """End the command where an option was given that a manifest of this kind does not know."""
    if wrong := next((option for option, value in given.items() if value), None):
        fail(f"{wrong} is for {what}; this is a manifest with --kind {kind}", EXIT_USAGE)


def _folder(archive: str) -> Path:
    if "://" in archive or not Path(archive).is_dir():
        fail(f"{archive} is no folder: cases of volumes are looked for in a folder", EXIT_USAGE)
    return Path(archive)


def _sequences(words: str | None) -> Sequence[str]:
    known = [*CHANNEL_SPELLINGS]
    asked = known if words is None else [word.strip() for word in words.split(",")]
    if wrong := [word for word in asked if word not in known]:
        fail(f"--sequences: {', '.join(wrong)} is none of {', '.join(known)}", EXIT_USAGE)
    if twice := next((word for word in asked if asked.count(word) > 1), None):
        fail(f"--sequences names {twice} twice", EXIT_USAGE)
    return asked


def _write(output: Path, manifest: bytes, beside: Path, inventory: Inventory | Cases, *, force: bool) -> None:
    """Write both tables; a manifest without a row is left out."""
    _require_writable((output, beside), force=force)
    try:
        write_whole(beside, skipped_csv(inventory))
        if manifest:
            write_whole(output, manifest)
    except OSError as error:
        fail(f"{output.parent}: cannot be written: {error.strerror or error}", EXIT_INCOMPLETE)


def _say_cases(found: Cases, output: Path, beside: Path) -> None:
    for line in case_lines(found):
        note(line)
    say(f"wrote {beside}")
    if not found.cases:
        asked = ", ".join(found.sequences)
        fail(f"{found.root}: no study has one series of each of {asked}; {beside} says why", EXIT_USAGE)
    arguments = shlex.join((str(output), "--images", found.root))
    say(f"wrote {output}; to score it: nightread score {arguments} --model NAME")


def _require_writable(files: tuple[Path, Path], *, force: bool) -> None:
    if files[0].absolute() == files[1].absolute():
        fail(f"{files[0]} cannot be the manifest and the list of what is not in it", EXIT_USAGE)
    for file in files:
        if file.suffix != ".csv":
            fail(f"{file}: the file's name must end in .csv", EXIT_USAGE)
        if not file.parent.is_dir():
            fail(f"{file}: there is no folder {file.parent}; make it first", EXIT_USAGE)
        if file.is_dir() or (file.exists() and not force):
            fail(f"{file} is there already; name another, or replace it with --force", EXIT_USAGE)
