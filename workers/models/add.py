"""Add a model: a model folder, checked as a worker checks it, or a weights file made into one."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from config.brats import CHANNELS, CLASSES, PATCH, REGIONS
from config.cards.card import CardFields, problems_of
from config.cards.classification import Preprocessing
from config.cards.model import (
    Card,
    Classifier,
    Model,
    Segmenter,
    find_model,
    read_model,
    require_classifier,
    require_segmenter,
    with_members,
)
from config.cards.segmentation import SegmentationCard
from config.errors import ConfigError
from workers.inference.ensemble import Ensemble
from workers.inference.networks.depths import DEPTHS
from workers.inference.volumes.engine import TensorFlowVolumeEngine
from workers.inference.weights import file_sha256
from workers.models.check import check_network, original_in
from workers.models.folder import require_free, write_model, write_segmenter, writing
from workers.models.foreign_weights import ForeignWeights, drop_unnamed
from workers.models.keras_files import read_keras
from workers.models.kinds import SAVED_MODEL, Kind, kind_of
from workers.models.layouts import LAYOUTS, Layout
from workers.models.options import ImportOptions, require_options
from workers.models.programs import PROGRAMS, read_program
from workers.models.torch_files import read_torch
from workers.models.unet_files import read_unet

_UNET_PROVENANCE: Final = (
    "Trained on the Medical Segmentation Decathlon's brain tumours by the course AI for Medical Diagnosis "
    "(DeepLearning.AI)"
)

_LARGEST_HALF: Final = float(np.finfo(np.float16).max)

_PIXELS: Final = (
    "size",
    "resize",
    "center_crop",
    "resize_first",
    "ten_crops",
    "standardize",
    "factor",
    "greyscale",
)
"""The options that are the card's fields of the same names."""


def add_folder(source: Path, models_dir: Path) -> Classifier | Segmenter:
    """Copy a model folder to `models_dir` after its network was built, filled and run on the test pattern.

    Of an ensemble, which is its card, the members must be there already.

    Raises ConfigError where the name is taken, the card is wrong, or hash, number, shapes or golden scores
    do not match the card. Nothing is left behind then.
    """
    card = _with_network(read_model(source)).card
    require_free(card.name, models_dir, "change it in the card, `name`")
    if card.weights is not None and (Path(card.weights).is_absolute() or ".." in Path(card.weights).parts):
        raise ConfigError(f"{source}: weights is {card.weights!r}; the file must be in the model's folder")
    with writing(models_dir), tempfile.TemporaryDirectory(dir=models_dir, prefix=".new-") as scratch:
        # The copy is checked, and not the source: nobody can change it between the check and its use.
        copied = Path(scratch) / card.name
        _copy(source, copied)
        model = _with_network(with_members(read_model(copied), models_dir))
        if isinstance(model.card, SegmentationCard):
            TensorFlowVolumeEngine(require_segmenter(model), threads=1)
        else:
            Ensemble.load(require_classifier(model), "tensorflow", maps=False)
        copied.rename(models_dir / card.name)
    return _with_network(find_model(card.name, models_dir))


def _with_network(model: Model[Card]) -> Classifier | Segmenter:
    return require_segmenter(model) if isinstance(model.card, SegmentationCard) else require_classifier(model)


def add_unet(
    source: Path,
    models_dir: Path,
    *,
    name: str | None = None,
    classes: tuple[str, ...] | None = None,
    label_values: tuple[str, ...] | None = None,
    half: bool = False,
    description: str | None = None,
    provenance: str | None = None,
    licence: str | None = None,
) -> Segmenter:
    """Make a model folder of the weights of the course's 3-D U-Net, of any base.

    `classes`: in the order of the outputs, the course's if None. `label_values`: theirs in files of labels.
    Raises ConfigError in one line where the file is another network's, or has other numbers of channels or
    classes; nothing is left behind then.
    """
    name = name or default_name(source)
    require_free(name, models_dir, "choose another --name")
    read = read_unet(source)
    classes = classes or CLASSES
    for what, found, names in (("channels", read.channels, CHANNELS), ("classes", read.classes, classes)):
        if found != len(names):
            raise ConfigError(f"{source}: has {found} {what}, the layout {len(names)}: {', '.join(names)}")
    if half:
        _require_half(read.arrays, source)
    facts: CardFields = {
        "name": name,
        "description": description or "3-D U-Net of the course AI for Medical Diagnosis",
        "architecture": "unet3d",
        "base": read.base,
        "depth": read.depth,
        "channels": CHANNELS,
        "classes": classes,
        "regions": REGIONS if classes == CLASSES else {},
        "label_values": label_values,
        "patch": PATCH,
        "provenance": f"{provenance or _UNET_PROVENANCE}; made of {_origin(source)}",
        "licence": licence or "the course's terms; not stated for the weights",
    }
    with writing(models_dir), _one_line(source):
        return write_segmenter(models_dir, facts, read.arrays, half=half)


def add_weights(
    source: Path,
    models_dir: Path,
    options: ImportOptions,
    *,
    trust_pickle: bool = False,
    half: bool = False,
    warn: Callable[[str], None] = lambda _line: None,
) -> Classifier:
    """Make a model folder from a weights file, as its layout and the options say.

    Where the file can compute, its scores are compared with those of the network that was read.
    `trust_pickle` lets a pickle run its code. `half` stores float16. `warn` gets a line for each thing that
    the owner should know. Raises ConfigError in one line where file, layout and options do not match, and
    TableError for a bad manifest; nothing is left behind then.
    """
    name = options.name or default_name(source)
    require_free(name, models_dir, "choose another --name")
    layout = LAYOUTS[options.layout]
    require_options(layout, options)
    read = _read(source, options.weights_key, trust_pickle=trust_pickle)
    if read.final_relu_unsaid and options.final_relu is None:
        raise ConfigError(
            f"{source}: its network is put together of parts, and arrays do not show whether a ReLU follows "
            "the last batch norm; see whether one does where the parts are called, and say --final-relu or "
            "--no-final-relu"
        )
    named = _with_findings(read, layout, options, source)
    imported = drop_unnamed(named)
    if half:
        _require_half(imported.arrays, source)
    findings = tuple(finding for finding in imported.findings or () if finding is not None)
    with writing(models_dir), _one_line(source):
        facts: CardFields = {
            "name": name,
            "description": options.description
            or layout.description.format(DEPTHS[imported.architecture].name),
            "architecture": imported.architecture,
            "findings": findings,
            "thresholds": _thresholds(imported, layout, options),
            "pixels": _pixels(imported.channels, layout, options),
            "final_relu": layout.final_relu if options.final_relu is None else options.final_relu,
            "provenance": f"{options.provenance or layout.provenance}; made of {_origin(source)}",
            "licence": options.licence or layout.licence,
            "unused": imported.unused or None,
            "views": options.views,
        }
        check = partial(
            check_network,
            source,
            original_in(source, named),
            None if options.expect is None else options.expect(findings),
            half=half,
            warn=warn,
        )
        return write_model(models_dir, facts, imported.arrays, half=half, check=check)


def default_name(source: Path) -> str:
    """Return the model's name where none is given: the file's, without its endings, as cards allow it."""
    if source.name == SAVED_MODEL:
        source = source.parent
    endings = r"(\.weights)?\.(h5|hdf5|keras|pth|pt2?|onnx|bin|tar|safetensors)$"
    stem = re.sub(endings, "", source.name.lower())
    stem = stem.removesuffix(".pth")
    return re.sub(r"[^a-z0-9._-]+", "-", stem).lstrip("._-")[:63] or "model"


def _origin(source: Path) -> str:
    """Name a source and its hash; that of a SavedModel is of its arrays, which lie beside the graph."""
    if source.name != SAVED_MODEL:
        return f"{source.name}, SHA-256 {file_sha256(source)}"
    [arrays] = (source.parent / "variables").glob("variables.data-*")
    return f"{source.parent.name}, whose {arrays.name} has the SHA-256 {file_sha256(arrays)}"


# --- what must hold before anything is read or written -----------------------------------------------------


def _require_half(arrays: list[NDArray[np.float32]], source: Path) -> None:
    """Raise ConfigError where float16 would turn a number into infinity."""
    largest = max(float(np.abs(array).max()) for array in arrays)
    if largest > _LARGEST_HALF:
        raise ConfigError(
            f"{source}: --half: float16 ends at {_LARGEST_HALF:g}, the weights reach {largest:.6g}"
        )


# --- the card's fields -------------------------------------------------------------------------------------


def _read(source: Path, weights_key: str | None, *, trust_pickle: bool) -> ForeignWeights:
    kind = kind_of(source)
    if kind in PROGRAMS:
        return read_program(source, kind, weights_key, trusted=trust_pickle)
    if kind is not Kind.KERAS:
        return read_torch(source, trust_pickle=trust_pickle, weights_key=weights_key)
    if weights_key is not None:
        raise ConfigError(f"{source}: --weights-key is for PyTorch's files; this one is of Keras")
    return read_keras(source)


def _with_findings(
    imported: ForeignWeights, layout: Layout, options: ImportOptions, source: Path
) -> ForeignWeights:
    """Name the outputs; one that is to be dropped has None."""
    names: Sequence[str | None] | None
    names, whence = imported.findings, "the file itself"
    if options.findings is not None:
        wanted = tuple(finding or None for finding in options.findings)
        if names is not None and wanted != tuple(names):
            raise ConfigError(
                f"{source} names its outputs {_listed(names)}; --findings says {_listed(wanted)}: "
                "leave out --findings"
            )
        names, whence = wanted, "--findings"
    elif names is None:
        names, whence = _layout_findings(imported, layout), f"--layout {options.layout}"
    if names is None:
        raise ConfigError(
            f"--layout {options.layout} needs --findings A,B,...: {source.name} has "
            f"{imported.outputs} outputs and does not say what they are, or which of them were trained"
        )
    if len(names) != imported.outputs:
        raise ConfigError(
            f"{source} has {imported.outputs} outputs, but {whence} names {len(names)} findings: "
            f"{_listed(names)}; see --findings"
        )
    return replace(imported, findings=tuple(names))


def _layout_findings(imported: ForeignWeights, layout: Layout) -> tuple[str | None, ...] | None:
    if not layout.some_untrained or layout.findings is None or len(layout.findings) != imported.outputs:
        return layout.findings
    if imported.thresholds is None:
        return None
    pairs = zip(layout.findings, imported.thresholds, strict=True)
    return tuple(name if threshold is not None else None for name, threshold in pairs)


def _listed(names: Sequence[str | None]) -> str:
    return ",".join(name or "" for name in names)


def _thresholds(imported: ForeignWeights, layout: Layout, options: ImportOptions) -> tuple[float, ...]:
    if options.thresholds is not None:
        if len(options.thresholds) not in {1, imported.outputs}:
            raise ConfigError(
                f"--thresholds has {len(options.thresholds)} numbers for {imported.outputs} findings; "
                "give one for all or one per finding"
            )
        return _spread(options.thresholds, imported.outputs)
    found = imported.thresholds or (None,) * imported.outputs
    return tuple(layout.threshold if threshold is None else threshold for threshold in found)


def _pixels(channels: int, layout: Layout, options: ImportOptions) -> Preprocessing:
    given = {field: getattr(options, field) for field in _PIXELS if getattr(options, field) is not None}
    blank = {"channels": channels, "mean": (0.0,) * channels, "std": (1.0,) * channels}
    if layout.pixels is None:
        pixels = Preprocessing.model_validate({"factor": 1.0} | blank | given)
    else:
        fields = layout.pixels.model_dump() | (blank if options.standardize else {})
        pixels = Preprocessing.model_validate(fields | given)
        if pixels.channels != channels:
            if options.mean is None or options.std is None:
                raise ConfigError(
                    f"the file's network takes {_counted(channels)}, --layout {options.layout} has "
                    f"{_counted(pixels.channels)}; say with what mean and std it was trained, for "
                    f"{_counted(channels)}, with --mean and --std (as fractions of 255 where the layout has "
                    "ImageNet's)"
                )
            pixels = Preprocessing.model_validate(pixels.model_dump() | blank)
    mean, std = options.mean, options.std
    if options.sample is not None:
        mean, std = options.sample(pixels)
    if mean is None or std is None:
        return pixels
    return Preprocessing.model_validate(
        pixels.model_dump() | {"mean": _spread(mean, channels), "std": _spread(std, channels)}
    )


def _counted(channels: int) -> str:
    return "1 channel" if channels == 1 else f"{channels} channels"


def _spread(numbers: tuple[float, ...], count: int) -> tuple[float, ...]:
    return numbers * count if len(numbers) == 1 else numbers


# --- errors ------------------------------------------------------------------------------------------------


@contextmanager
def _one_line(source: Path) -> Iterator[None]:
    """Say in one line which of the card's fields would be wrong."""
    try:
        yield
    except ValidationError as error:
        raise ConfigError(
            f"{source}: with these options its card would be wrong: {problems_of(error)}"
        ) from error


def _copy(source: Path, target: Path) -> None:
    """Copy a folder; raises the first file's OSError, where shutil's own is a list of texts."""
    errors: list[OSError] = []

    def copy(file: str, to: str) -> str:
        try:
            return shutil.copy2(file, to)
        except OSError as error:
            errors.append(error)
            raise

    try:
        shutil.copytree(source, target, copy_function=copy)
    except shutil.Error as error:
        raise (errors or [error])[0] from None
