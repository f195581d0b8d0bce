"""What commands that read a manifest share: the options for its columns, and saying what was taken of it."""

from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from jobs.commands.bundles import bundled
from jobs.commands.options import FindingColumnOption, ImageColumnOption, column_mapping
from jobs.console import note
from jobs.tables.label_columns import Uncertain
from jobs.tables.layouts.known import LAYOUTS, PLAIN
from jobs.tables.manifest import Manifest
from jobs.tables.place import absolute, place_of
from jobs.tables.reading import Blank, ReadOptions, View, reading_lines

T = TypeVar("T")


def _options(
    image_column: ImageColumnOption = None,
    finding_column: FindingColumnOption = None,
    patient_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of the patients, if it is not recognised.")
    ] = None,
    view_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of the views, if it is not recognised.")
    ] = None,
    sex_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of the sexes, if it is not recognised.")
    ] = None,
    age_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of the ages, if it is not recognised.")
    ] = None,
    uncertain: Annotated[
        Uncertain,
        typer.Option(help="What an uncertain label (-1, as in CheXpert) counts as; ignore: unknown."),
    ] = "ignore",
    ignore_labels: Annotated[
        bool,
        typer.Option("--ignore-labels", help="Skip words in a list of findings that name none of them."),
    ] = False,
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="ENCODING",
            help="Encoding of the CSV, such as latin-1. Default: UTF-8, or UTF-16 by its mark.",
        ),
    ] = None,
    sheet: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Sheet of a workbook (.xlsx) to read, if more than one has content.",
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            metavar="SET",
            help=f"Public dataset that the table comes from: {', '.join(LAYOUTS)}; {PLAIN}: none. "
            "Default: by its columns.",
        ),
    ] = None,
    join: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CSV",
            help="Another table of the dataset, joined by the identifiers of image, study or patient, or a "
            "list of the images to take; repeatable.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Part of the dataset to take, from its column 'split', such as test."
        ),
    ] = None,
    image_name: Annotated[
        str | None,
        typer.Option(
            metavar="TEMPLATE",
            help="How image names are made from columns, such as 'files/p{subject_id:.2}/{dicom_id}.jpg';"
            " :.2 takes the first two letters.",
        ),
    ] = None,
    blank: Annotated[
        Blank,
        typer.Option(
            help="What a blank label (not mentioned) of CheXpert, MIMIC-CXR or BRAX counts as; ignore: "
            "unknown."
        ),
    ] = "negative",
    view: Annotated[
        View | None,
        typer.Option(
            help="frontal: leave out other views; all: keep every view. Default: what the model's card "
            "says, otherwise all."
        ),
    ] = None,
    readers: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            help="How the labels of VinDr-CXR's readers become one: majority, any, all, or the name of one "
            "reader.",
        ),
    ] = "majority",
) -> ReadOptions:
    """Make of the options what a table is read with."""
    if image_column is not None and image_name is not None:
        raise typer.BadParameter("--image-column names the images, too; give one", param_hint="--image-name")
    return ReadOptions(
        image_column=image_column,
        finding_columns=column_mapping(finding_column),
        patient_column=patient_column,
        view_column=view_column,
        sex_column=sex_column,
        age_column=age_column,
        uncertain=uncertain,
        ignore_labels=ignore_labels,
        encoding=encoding,
        sheet=sheet,
        layout=layout,
        join=tuple(absolute(place_of(word)) for word in join or ()),
        split=split,
        image_name=image_name,
        blank=blank,
        readers=readers,
        view=view,
    )


def reads_table(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command the options for reading a table; its argument `read` gets them as ReadOptions."""
    return bundled(command, _options, "read")


def say_reading(manifest: Manifest) -> None:
    """Say what was taken of a manifest and what was not, to standard error."""
    for line in reading_lines(manifest.path, manifest.reading):
        note(line)
