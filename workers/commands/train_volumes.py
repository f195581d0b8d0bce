"""What `nightread train --kind segmentation` does."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from config.brats import CHANNELS, CLASSES, PATCH, REGIONS
from config.cards.card import problems_of
from config.cards.model import Segmenter, find_model, require_segmenter
from config.cards.segmentation import SegmentationCard
from config.errors import ConfigError
from config.settings import Settings
from jobs.commands.reading import say_reading
from jobs.console import EXIT_USAGE, fail, say
from jobs.sources.source import ImageSource, open_source
from jobs.tables.case_files import LABEL
from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions
from workers.cases import case_files_of, case_reader
from workers.training.plan import Reporter
from workers.training.splits import overlap
from workers.training.state import STATE_FILE
from workers.training.volumes.plan import VolumePlan, VolumeSplit

_BATCH: Final = 3
_MAX_BACKGROUND: Final = 0.95

Standardization = Literal["plane", "brain"]


@dataclass(frozen=True, slots=True)
class VolumeOptions:
    """What a training on volumes can be told that one on radiographs cannot; None: the default."""

    sequences: str | None
    classes: str | None
    label_values: str | None
    patch: str | None
    base: int | None
    standardization: Standardization | None
    samples: int | None
    max_background: float | None

    def given(self) -> list[str]:
        """Return the names of the options that were given."""
        return [f"--{name.replace('_', '-')}" for name in self.__slots__ if getattr(self, name) is not None]


@dataclass(frozen=True, slots=True)
class VolumeOrder:
    """A training as it was asked for."""

    manifest: Path
    images: str
    valid: Path
    valid_images: str | None
    name: str
    read: ReadOptions
    start: str | None
    options: VolumeOptions
    foreign: Mapping[str, object]
    """What is for radiographs alone, None where it was not given."""
    epochs: int
    batch: int | None
    learning_rate: float
    patience: int
    half: bool
    allow_leakage: bool
    restart: bool
    seed: int
    description: str


def train_on_volumes(
    order: VolumeOrder, settings: Settings, reporting: Callable[[], AbstractContextManager[Reporter]]
) -> None:
    """Check both splits, train, and say what the model reached."""
    foreign = [option for option, value in order.foreign.items() if value is not None]
    refuse_foreign(foreign, "radiographs", "segmentation")
    begin = require_segmenter(find_model(order.start, settings.models)) if order.start else None
    draft = _draft(order, begin)
    train, valid = (
        read_cases(path, images, order.read, draft, settings)
        for path, images in (
            (order.manifest, order.images),
            (order.valid, order.valid_images or order.images),
        )
    )
    shared = overlap(train, valid)
    say(
        f"patients in both splits: {shared.patients} ({shared.images} of {len(valid)} validation cases)"
        if shared.known
        else "patients in both splits: unknown, not every row names its patient"
    )
    if shared.leaks and not order.allow_leakage:
        fail(
            f"{shared.patients} patients are in {order.manifest} and in {order.valid}, or the cases "
            f"themselves ({shared.images} of {len(valid)}): the validation figures would be flattered; split "
            "by patient, or insist with --allow-leakage",
            EXIT_USAGE,
        )
    plan = VolumePlan(
        draft=draft,
        train=train,
        valid=valid,
        shared=shared,
        start=begin,
        epochs=order.epochs,
        batch=order.batch or _BATCH,
        learning_rate=order.learning_rate,
        patience=order.patience,
        samples=order.options.samples or 1,
        max_background=_MAX_BACKGROUND
        if order.options.max_background is None
        else order.options.max_background,
        half=order.half,
        seed=order.seed,
    )
    folder = settings.home / "training" / order.name
    say(f"{len(train)} cases to learn from, {len(valid)} to validate; log: {folder / 'tensorboard'}")
    if order.restart:
        (folder / STATE_FILE).unlink(missing_ok=True)
    # It loads Matplotlib, which a training that is refused does without.
    from workers.training.volumes.fit import train_volumes  # noqa: PLC0415

    with reporting() as reporter:
        model = train_volumes(plan, settings.models, folder.absolute(), reporter)
    for finding, mean in (model.card.figures or {}).get("validation Dice", {}).items():
        say(f"  {finding}: Dice {mean:.3f}")
    say(f"model {order.name}: {model.folder}")
    say("Not for clinical use.")


def refuse_foreign(options: Sequence[str], what: str, kind: str) -> None:
    """End the command where an option was given that a training of this kind does not know."""
    if options:
        fail(f"{options[0]} is for {what}; this is a training with --kind {kind}", EXIT_USAGE)


def _draft(order: VolumeOrder, begin: Segmenter | None) -> SegmentationCard:
    """Return the card of what is trained; ConfigError names what is wrong with it."""
    told = order.options
    fields: dict[str, object] = {"channels": CHANNELS, "classes": CLASSES, "patch": PATCH}
    if begin is not None:
        kept = (
            "architecture",
            "channels",
            "classes",
            "regions",
            "label_values",
            "patch",
            "overlap",
            "base",
            "depth",
        )
        fields = {name: getattr(begin.card, name) for name in (*kept, "standardization", "threshold")}
    given = {
        "channels": told.sequences and _names(told.sequences),
        "classes": told.classes and _names(told.classes),
        "label_values": told.label_values and _names(told.label_values),
        "patch": told.patch and _names(told.patch),
        "base": told.base,
        "standardization": told.standardization,
    }
    given = {name: value for name, value in given.items() if value}
    for name in ("channels", "classes", "base"):
        if begin is not None and name in given and given[name] != fields[name]:
            option = "sequences" if name == "channels" else name
            fail(f"--{option}: model {order.start} has its own, and its weights with it", EXIT_USAGE)
    fields |= given
    if begin is None and fields["classes"] == CLASSES:
        fields["regions"] = REGIONS
    classes = fields["classes"]
    golden = [0.0] * (len(classes) if isinstance(classes, tuple) else 0)
    placeholders = {"sha256": "0" * 64, "weights": "in-training.npz", "golden": golden}
    facts = {"name": order.name, "provenance": "", "licence": "", "architecture": "unet3d"}
    facts["description"] = order.description or f"3-D U-Net trained on {order.manifest.name}"
    try:
        return SegmentationCard.model_validate(facts | fields | placeholders)
    except ValidationError as error:
        raise ConfigError(f"model {order.name!r}: its card would be wrong: {problems_of(error)}") from error


def _names(words: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in words.split(","))


def read_cases(
    path: Path, images: str, read: ReadOptions, card: SegmentationCard, settings: Settings
) -> VolumeSplit:
    """Read a manifest of cases; ends the command where one has no label."""
    source: ImageSource = open_source(images)
    source.require()
    table = Manifest(path, read, findings=card.findings, channels=card.channels, root=source.root)
    rows = list(table)
    say_reading(table)
    files = {row.image_index: case_files_of(row.files) for row in rows}
    bare = [name for name, found in files.items() if LABEL not in found]
    if bare:
        fail(
            f"{path}: {len(bare)} of {len(files)} cases have no label to learn from, such as {bare[0]}; "
            f"the column {LABEL} names each case's file",
            EXIT_USAGE,
        )
    return VolumeSplit(
        path,
        table.fingerprint(),
        source.root,
        tuple(row.image_index for row in rows),
        tuple(row.patient_id for row in rows),
        case_reader(source, settings.max_image_pixels, card, files),
    )
