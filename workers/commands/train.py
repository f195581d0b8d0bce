"""The command `nightread train`."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from config.cards.classification import Preprocessing
from config.cards.model import find_model, require_network
from config.films import Recipe
from config.findings import FINDINGS
from jobs.commands.options import BitsOption, ImagesOption
from jobs.commands.reading import reads_table, say_reading
from jobs.commands.session import quiet_settings
from jobs.console import EXIT_INCOMPLETE, EXIT_USAGE, err, fail, note, say
from jobs.sources.depth import VOLUMES, bits_remark, measured_bits
from jobs.sources.source import ImageSource, open_source
from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions
from jobs.tables.spellings import key_of
from workers.archive import picture_reader, prepared_reader
from workers.commands.duplicates import find_duplicates
from workers.commands.train_volumes import VolumeOptions, VolumeOrder, refuse_foreign, train_on_volumes
from workers.duplicates import Archive
from workers.inference.statistics import sampled_statistics
from workers.training.plan import Epoch, Plan, Reporter
from workers.training.splits import Split, overlap, read_split
from workers.training.state import STATE_FILE

_LINE_SECONDS: Final = 60.0
"""Seconds between the lines of a log, which has no live bar."""

_MEASURES: Final = {"val_auroc": "mean AUROC", "val_dice": "mean Dice"}

app = typer.Typer()


@app.command("train")
@reads_table
def train_(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="CSV of the training split, labels included.")
    ],
    images: ImagesOption,
    valid: Annotated[
        Path, typer.Option(metavar="CSV", help="CSV of the validation split, of other patients.")
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the new model.")],
    read: ReadOptions,
    kind: Annotated[
        Literal["classification", "segmentation"],
        typer.Option(
            help="classification: findings of radiographs. segmentation: voxels of volumes, NIfTI or DICOM, "
            "whose labels the column Label names; see docs/segmentation.md."
        ),
    ] = "classification",
    valid_images: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder of the validation images. Default: --images."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="MODEL", help="Model to start from, see `nightread models list`."),
    ] = None,
    findings: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Findings to learn. Default: all that the manifest labels."),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=32,
            max=2048,
            metavar="PIXELS",
            help="Side of the input, pixels. Default: 320, or that of --from.",
        ),
    ] = None,
    channels: Annotated[
        int | None,
        typer.Option(min=1, max=3, metavar="N", help="1 (grey) or 3. Default: 1, or those of --from."),
    ] = None,
    greyscale: Annotated[
        Recipe | None,
        typer.Option(help="How DICOM files are turned into greys. Default: window, or that of --from."),
    ] = None,
    epochs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Passes over the training split, at most.")
    ] = 20,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Images per step, over all GPUs. Default: 16, or 3 sub-volumes.",
            show_default=False,
        ),
    ] = None,
    learning_rate: Annotated[
        float, typer.Option(min=0.0, metavar="RATE", help="Adam's learning rate at the beginning.")
    ] = 1e-3,
    patience: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Epochs without a better validation AUROC, or Dice, until it stops."
        ),
    ] = 5,
    sensitivity: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="The card also gets the thresholds that reach this sensitivity.",
        ),
    ] = 0.9,
    flip: Annotated[
        bool, typer.Option("--flip", help="Mirror half of the training images, hearts included.")
    ] = False,
    half: Annotated[
        bool, typer.Option("--half", help="Store the weights as float16, at half the size.")
    ] = False,
    allow_leakage: Annotated[
        bool,
        typer.Option("--allow-leakage", help="Train even though some patients or films are in both splits."),
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard what an earlier training of this name saved.")
    ] = False,
    bits: BitsOption = None,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Seed of initial weights, order and flips.")
    ] = 0,
    description: Annotated[str, typer.Option(metavar="TEXT", help="Description for the card.")] = "",
    sequences: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Of volumes: the channels of a file in their order, or the columns that name one file each. "
            "Default: FLAIR,T1,T1Gd,T2.",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Of volumes: what the labels 1, 2, ... mean. Default: edema,non-enhancing,enhancing, with "
            "the regions WT, TC and ET.",
        ),
    ] = None,
    label_values: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...",
            help="Of volumes: the classes' values in the labels, if not 1, 2, ...: of BraTS before 2023 "
            "2,1,4.",
        ),
    ] = None,
    patch: Annotated[
        str | None,
        typer.Option(metavar="X,Y,Z", help="Of volumes: the sub-volumes, voxels. Default: 160,160,16."),
    ] = None,
    base: Annotated[
        int | None,
        typer.Option(
            min=1, max=128, metavar="N", help="Of volumes: filters of the first level. Default: 32."
        ),
    ] = None,
    standardization: Annotated[
        Literal["plane", "brain"] | None,
        typer.Option(
            help="Of volumes: by what each channel is standardised, a patch's planes or the brain. Default: "
            "plane."
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Sub-volumes of each volume in an epoch. Default: 1."),
    ] = None,
    max_background: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="Sub-volumes with this share of background, or more, are not learned from. Default: 0.95.",
        ),
    ] = None,
) -> None:
    """Train a network on a manifest; the result is a model folder for `nightread score --model`.

    Of radiographs it is DenseNet-121, of volumes (--kind segmentation) a 3-D U-Net.

    Stopped by Ctrl-C or a crash, it continues after its last whole epoch when the same command is run again.

    Example: nightread train train.csv --images images/ --valid valid.csv --name mine --epochs 10

    Example: nightread train train.csv --images scans/ --valid valid.csv --name tumours --kind segmentation
    """
    settings = quiet_settings()
    of_volumes = VolumeOptions(
        sequences, classes, label_values, patch, base, standardization, samples, max_background
    )
    if kind == "segmentation":
        order = VolumeOrder(
            manifest=manifest,
            images=images,
            valid=valid,
            valid_images=valid_images,
            name=name,
            read=read,
            start=start,
            options=of_volumes,
            foreign={
                "--findings": findings,
                "--size": size,
                "--channels": channels,
                "--greyscale": greyscale,
                "--flip": flip or None,
                "--bits": bits,
            },
            epochs=epochs,
            batch=batch_size,
            learning_rate=learning_rate,
            patience=patience,
            half=half,
            allow_leakage=allow_leakage,
            restart=restart,
            seed=seed,
            description=description,
        )
        train_on_volumes(order, settings, lambda: _reporting(epochs))
        return
    refuse_foreign(of_volumes.given(), "volumes", kind)
    sources = [open_source(root) for root in (images, valid_images or images)]
    for source in sources:
        source.require()
    wanted = tuple(map(_usual, findings.split(","))) if findings else None
    read = read.fetched(settings.home)
    tables = [
        Manifest(path, read, findings=wanted or FINDINGS, root=source.root)
        for path, source in zip((manifest, valid), sources, strict=True)
    ]
    _require_pictures(tables)
    learned, watched = (read_split(table) for table in tables)
    for table in tables:
        say_reading(table)
    wanted = wanted or learned.findings
    learned, watched = learned.only(wanted), watched.only(wanted)
    shared = overlap(learned, watched)
    say(
        f"patients in both splits: {shared.patients} ({shared.images} of {len(watched)} validation images)"
        if shared.known
        else "patients in both splits: unknown, not every row names its patient"
    )
    if shared.leaks and not allow_leakage:
        fail(
            f"{shared.patients} patients are in {manifest} and in {valid}, or the images themselves "
            f"({shared.images} of {len(watched)}): the validation figures would be flattered; split by "
            "patient, or insist with --allow-leakage",
            EXIT_USAGE,
        )
    folder = settings.home / "training" / name
    if restart or not (folder / STATE_FILE).exists():
        # A training that goes on has passed.
        _tell_copies(sources, (learned, watched), settings.max_image_pixels, allowed=allow_leakage)
    bits = bits or _measured(sources[0], learned, settings.max_image_pixels)
    begin = require_network(find_model(start, settings.models)) if start else None
    recipe = greyscale or (begin.card.pixels.greyscale if begin else "window")
    if begin is None:
        pixels = _new_pixels(size or 320, channels or 1, recipe)
        picture = picture_reader(sources[0], settings.max_image_pixels, recipe, bits)
        mean, std = sampled_statistics(learned.names, picture, pixels)
        pixels = Preprocessing.model_validate(pixels.model_dump() | {"mean": mean, "std": std})
    else:
        # It learns the middle, and is validated and scored on it.
        changes = {"size": size or begin.card.pixels.size, "ten_crops": False, "greyscale": recipe}
        pixels = begin.card.pixels.model_copy(update=changes)
        if channels not in {None, pixels.channels}:
            fail(f"--channels: model {start} takes {pixels.channels}, and its weights with it", EXIT_USAGE)
    prepared, valid_prepared = (prepared_reader(source, pixels, settings, bits) for source in sources)
    plan = Plan(
        name=name,
        train=learned,
        valid=watched,
        shared=shared,
        images=sources[0].root,
        valid_images=sources[1].root,
        read=prepared,
        read_valid=valid_prepared,
        pixels=pixels,
        final_relu=begin.card.final_relu if begin else True,
        start=begin,
        epochs=epochs,
        batch=batch_size or 16,
        learning_rate=learning_rate,
        patience=patience,
        flip=flip,
        half=half,
        seed=seed,
        wanted_sensitivity=sensitivity,
        description=description,
        views="frontal" if read.view == "frontal" else None,
    )
    say(f"{len(learned)} images to learn from, {len(watched)} to validate; log: {folder / 'tensorboard'}")
    if restart:
        (folder / STATE_FILE).unlink(missing_ok=True)
    # It loads Matplotlib and scikit-learn, which a training that is refused does without.
    from workers.training.fit import train  # noqa: PLC0415

    with _reporting(epochs) as reporter:
        model = train(plan, settings.models, folder.absolute(), reporter)
    for finding, auroc in (model.card.figures or {}).get("validation AUROC", {}).items():
        say(f"  {finding}: AUROC {auroc:.3f}")
    say(f"model {name}: {model.folder}")
    say("Not for clinical use.")


def _require_pictures(tables: Sequence[Manifest]) -> None:
    """End the command where a manifest lists volumes: their labels are files, and no findings."""
    for table in tables:
        name = next(table.names(), "")
        if name.endswith(VOLUMES):
            fail(f"{table.path} lists volumes, such as {name}: say --kind segmentation", EXIT_USAGE)


def _usual(word: str) -> str:
    """Return the finding that a word names, in the usual spelling if it is one of ChestX-ray14's."""
    return next((name for name in FINDINGS if key_of(name) == key_of(word)), word.strip())


def _tell_copies(
    sources: Sequence[ImageSource], splits: Sequence[Split], max_pixels: int, *, allowed: bool
) -> None:
    """Say how many validation images are films of the training split; end if any, unless that is allowed."""
    here, there = (
        Archive(source, split.names, split.patients) for source, split in zip(sources, splits, strict=True)
    )
    found = find_duplicates(here, there, max_pixels)
    learned, watched = splits
    copies = len({pair.other_image for pair in found.pairs})
    say(f"films in both splits: {copies} of {len(watched)} validation images")
    if copies and not allowed:
        first = found.pairs[0]
        fail(
            f"{copies} of {len(watched)} images of {watched.manifest} are copies of images of "
            f"{learned.manifest}, such as {first.other_image} of {first.image}: the validation figures would "
            "be flattered; nightread duplicates lists them; leave them out, or insist with --allow-leakage",
            EXIT_USAGE,
        )


def _measured(source: ImageSource, split: Split, max_pixels: int) -> int | None:
    bits = measured_bits(source, split.names, max_pixels)
    if bits is not None:
        note(bits_remark(bits))
    return bits


def _new_pixels(size: int, channels: int, recipe: Recipe) -> Preprocessing:
    if channels not in {1, 3}:
        raise typer.BadParameter("1 or 3", param_hint="--channels")
    return Preprocessing(
        size=size,
        channels=1 if channels == 1 else 3,
        resize="bilinear",
        factor=1.0,
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        greyscale=recipe,
    )


@contextmanager
def _reporting(epochs: int) -> Iterator[Reporter]:
    """Show a training's progress; if a person stops it, say how it goes on, and end the command."""
    try:
        with _bar() as bar:
            yield _reporter(bar, epochs)
    except KeyboardInterrupt:
        fail("stopped; the same command goes on after the last whole epoch", EXIT_INCOMPLETE)


def _bar() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps, loss {task.fields[loss]}"),
        TimeRemainingColumn(),
        console=err,
        disable=not err.is_terminal,
    )


def _reporter(bar: Progress, epochs: int) -> Reporter:
    task = bar.add_task("starting", total=None, loss="-")

    def begin(epoch: int, steps: int) -> None:
        bar.reset(task, total=steps, description=f"epoch {epoch}/{epochs}", loss="-")

    said = time.monotonic()

    def step(loss: float) -> None:
        nonlocal said
        bar.update(task, advance=1, loss=f"{loss:.4f}")
        if not err.is_terminal and time.monotonic() - said >= _LINE_SECONDS:
            said = time.monotonic()
            now = bar.tasks[0]
            left = timedelta(seconds=round(now.time_remaining or 0))
            steps = f"{now.completed:.0f}/{now.total or 0:.0f} steps"
            note(f"{now.description}: {steps}, loss {loss:.4f}, {left} left")

    def end(epoch: int, figures: Epoch) -> None:
        reached = " ".join(f"{_MEASURES[name]} {figures[name]:.4f}" for name in _MEASURES if name in figures)
        note(
            f"epoch {epoch}: loss {figures['loss']:.4f}, validation loss {figures['val_loss']:.4f}, {reached}"
        )

    return Reporter(begin, step, end, note)
