"""Arguments and options that several commands share, and how their values are read."""

from typing import Annotated, Final

import typer

from jobs.archive import Archive, is_archive
from jobs.commands.runs import find_any_run, find_run
from jobs.submit import Heatmaps

RunArgument = Annotated[
    int,
    typer.Argument(
        metavar="RUN",
        parser=find_run,
        help="The run's number, or last, or the name of its model or manifest: the newest run of it.",
    ),
]
SomeRunArgument = Annotated[
    int | None,
    typer.Argument(
        metavar="RUN",
        parser=find_any_run,
        help="The run's number, or last, or the name of its model or manifest. Default: all runs.",
    ),
]
ArchiveArgument = Annotated[
    str,
    typer.Argument(
        metavar="MANIFEST|FOLDER|URL",
        help="Table with one image per row: CSV, .csv.gz, .xlsx, Parquet or JSON lines; also s3://…, gs://…, "
        "az://…. Or a folder, a DICOMDIR, a prefix in a store or a DICOMweb service, of which a manifest is "
        "made first, as by `nightread manifest`.",
    ),
]
ArchiveImagesOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|URI",
        help="Folder that the image names are relative to, or s3://BUCKET/PREFIX, gs://, az://, or "
        "dicomweb+https://HOST/PATH. Needed with a table.",
    ),
]
ImagesOption = Annotated[
    str,
    typer.Option(
        metavar="DIR|URI",
        help="Folder that the image names are relative to, or s3://BUCKET/PREFIX, gs://, az://, or "
        "dicomweb+https://HOST/PATH.",
    ),
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        metavar="DAY", help="Of a service, studies from this day on: 2026-11-27, yesterday, or 7d (ago)."
    ),
]
UntilOption = Annotated[
    str | None, typer.Option(metavar="DAY", help="Of a service, studies to this day, itself included.")
]
ModalityOption = Annotated[
    str | None, typer.Option(metavar="LIST", help="Of a service, modalities to look into. Default: CR,DX.")
]
ModelOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="The model's name. Default: NIGHTREAD_MODEL.")
]
BatchOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=4096,
        metavar="N",
        help="Images per batch: what a worker takes at a time. Default: 8 to 32, by the number of images.",
    ),
]
HeatmapsOption = Annotated[
    Heatmaps,
    typer.Option(
        help="none: scores only. positive: maps of all findings, and an overlay for each finding over "
        "its threshold. all: an overlay for every finding."
    ),
]
ImageColumnOption = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Column of the image names, if it is not recognised.")
]
FindingColumnOption = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN=FINDING", help="Column with a finding's labels: 0, 1 or blank; repeatable."),
]
RequireLabelsOption = Annotated[
    bool, typer.Option("--require-labels", help="Refuse a manifest without any known label.")
]
BitsOption = Annotated[
    int | None,
    typer.Option(
        min=8,
        max=16,
        metavar="N",
        help="Bits that 16-bit PNGs use, such as 12, where they do not say it (sBIT). "
        "Default: measured in a sample.",
    ),
]
DetachOption = Annotated[
    bool,
    typer.Option(
        "--detach",
        help="Return once the work has begun; it goes on after the terminal is closed, and its output goes "
        "to home/logs/run-RUN.log.",
    ),
]
MaxMissingOption = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="Share of the images that may be missing; with more, nothing is started. Missing images fail.",
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one object per row.")]

NEEDS_BROKER: Final = "Needs NIGHTREAD_BROKER_URL; the settings are listed in docs/settings.md."


def pairs(given: list[str] | None, option: str, form: str) -> dict[str, str] | None:
    """Read the values LEFT=RIGHT of a repeatable option; `form` is its form as the error shows it."""
    read = {}
    for value in given or []:
        left, _, right = value.partition("=")
        if not (left and right):
            raise typer.BadParameter(f"{value!r} is not {form}", param_hint=option)
        read[left] = right
    return read or None


def column_mapping(finding_column: list[str] | None) -> dict[str, str] | None:
    """Read the pairs COLUMN=FINDING of --finding-column."""
    return pairs(finding_column, "--finding-column", "COLUMN=FINDING")


def archive_of(place: str, since: str | None, until: str | None, modality: str | None) -> Archive | None:
    """Return the archive that an argument names; None for a table, which these options are nothing for."""
    archive = Archive(place, since, until, modality) if is_archive(place) else None
    if (since or until or modality) and not (archive and archive.is_service):
        raise typer.BadParameter(
            "is for a service, dicomweb+https://HOST/PATH", param_hint="--since, --until, --modality"
        )
    return archive
