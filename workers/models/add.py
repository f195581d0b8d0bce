"""Bring a model in: a model folder, checked as a worker checks it, or a weights file made into one."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from config.cards.card import SHIPPED, Model, Preprocessing, list_models, problems_of, read_model
from config.errors import ConfigError
from db.database import Database
from db.runs import ModelFacts, find_or_write_model
from workers.models.imported import ForeignWeights, drop_unnamed
from workers.models.layouts import LAYOUTS, Layout, LayoutName, Resize

_KERAS_SUFFIXES: Final = frozenset({".h5", ".hdf5", ".keras"})
_LARGEST_HALF: Final = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the owner says about a weights file; None is what the layout, or the file itself, says.

    `findings`: in the order of the outputs, "" for one that is to be dropped. `thresholds`: one for all or
    one a finding. `mean` and `std`: one for all channels or one a channel, in units of `value * factor`;
    instead of them `manifest` and `images`, of which they are computed.
    """

    layout: LayoutName
    name: str | None = None
    findings: tuple[str, ...] | None = None
    thresholds: tuple[float, ...] | None = None
    size: int | None = None
    resize: Resize | None = None
    center_crop: bool | None = None
    factor: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    final_relu: bool | None = None
    manifest: Path | None = None
    images: Path | None = None
    description: str | None = None
    provenance: str | None = None
    licence: str | None = None


def add_folder(source: Path, models_dir: Path) -> Model:
    """Copy a model folder to `models_dir` after its network was built, filled and asked for the test pattern.

    Raises ConfigError where the name is taken, the card is wrong, or hash, number, shapes or golden scores
    are not the card's. Nothing is left then.
    """
    card = read_model(source).card
    _require_free(card.name, models_dir, "change it in the card, `name`")
    if card.architecture == "stub":
        raise ConfigError(f"{source}: architecture stub answers without a network; it is for tests only")
    if card.weights is not None and (Path(card.weights).is_absolute() or ".." in Path(card.weights).parts):
        raise ConfigError(f"{source}: weights is {card.weights!r}; the file must be in the model's folder")
    from workers.inference.engine import TensorFlowEngine  # noqa: PLC0415  # loads TensorFlow

    with _writing(models_dir), tempfile.TemporaryDirectory(dir=models_dir, prefix=".new-") as scratch:
        # The copy is what is checked: nobody can change it between the check and its use.
        copied = Path(scratch) / card.name
        shutil.copytree(source, copied)
        TensorFlowEngine(read_model(copied), threads=1, maps=False)
        copied.rename(models_dir / card.name)
    return read_model(models_dir / card.name)


def add_weights(
    source: Path,
    models_dir: Path,
    told: ImportOptions,
    *,
    max_pixels: int,
    trust_pickle: bool = False,
    half: bool = False,
) -> Model:
    """Make a model folder of a weights file; mean and std are computed where `told` names a manifest.

    `max_pixels`: larger pictures are passed over there. `trust_pickle` lets a pickle run its code. `half`
    stores float16. Raises ConfigError in one line where file, layout and what was told do not fit each
    other, and TableError for a bad manifest; nothing is left then.
    """
    name = told.name or default_name(source)
    _require_free(name, models_dir, "choose another --name")
    layout = LAYOUTS[told.layout]
    _require_told(layout, told)
    # Keras is loaded below; TensorFlow's greetings are no news to whoever adds a model.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    imported = _with_findings(_read(source, trust_pickle=trust_pickle), layout, told, source)
    if half:
        _require_half(imported, source)
    findings = tuple(finding for finding in imported.findings or () if finding is not None)
    from workers.inference.weights import file_sha256  # noqa: PLC0415  # loads TensorFlow
    from workers.models.folder import write_model  # noqa: PLC0415  # loads TensorFlow

    with _writing(models_dir), _one_line(source):
        facts: dict[str, Any] = {
            "name": name,
            "description": told.description or layout.description,
            "architecture": "densenet121",
            "findings": findings,
            "thresholds": _thresholds(imported, layout, told),
            "pixels": _pixels(imported.channels, layout, told, max_pixels),
            "final_relu": layout.final_relu if told.final_relu is None else told.final_relu,
            "provenance": f"{told.provenance or layout.provenance}; made of {source.name}, "
            f"SHA-256 {file_sha256(source)}",
            "licence": told.licence or layout.licence,
        }
        return write_model(models_dir, facts, imported.arrays, half=half)


def default_name(source: Path) -> str:
    """Give the model's name where none is told: the file's, without its endings, as cards allow it."""
    stem = re.sub(r"(\.weights)?\.(h5|hdf5|keras|pth|pt|bin|tar|safetensors)$", "", source.name.lower())
    stem = stem.removesuffix(".pth")
    return re.sub(r"[^a-z0-9._-]+", "-", stem).lstrip("._-")[:63] or "model"


def register(database: Database, model: Model) -> int:
    """Write a model to the database's table `model` before any run has used it; returns its id there.

    Its folder is removed where the database cannot take it, so that the model is in both or in neither.
    """
    try:
        with database.write() as connection:
            return find_or_write_model(connection, ModelFacts.of(model.card))
    except BaseException:
        shutil.rmtree(model.folder, ignore_errors=True)
        raise


# --- what must hold before anything is read or written -----------------------------------------------------


def _require_free(name: str, models_dir: Path, advice: str) -> None:
    if (models_dir / name).exists():
        raise ConfigError(f"there is a model {name!r} already in {models_dir}; remove it or {advice}")
    if name in list_models(SHIPPED):
        raise ConfigError(f"{name!r} is the name of a model that comes with Nightread; {advice}")


def _require_told(layout: Layout, told: ImportOptions) -> None:
    """Raise ConfigError where an option is missing that no file can stand in for."""
    what = f"--layout {told.layout}"
    if layout.pixels is None and (told.size is None or told.resize is None):
        raise ConfigError(f"{what} needs --size and --resize: the file does not say what it was trained with")
    if (told.manifest is None) != (told.images is None):
        raise ConfigError("--manifest and --images belong together: mean and std are computed of both")
    if (told.mean is None) != (told.std is None):
        raise ConfigError("--mean and --std belong together")
    if told.manifest is not None and told.mean is not None:
        raise ConfigError("give either --mean and --std or --manifest and --images, not both")
    if layout.statistics and told.manifest is None and told.mean is None:
        raise ConfigError(
            f"{what} needs --manifest and --images of the training images: mean and std are computed of "
            "them, no file holds them (or give the numbers with --mean and --std)"
        )
    if not layout.statistics and told.manifest is not None:
        raise ConfigError(f"{what} has mean and std of its own; leave --manifest and --images away")
    if told.images is not None and not told.images.is_dir():
        raise ConfigError(f"{told.images}: there is no such folder of images; see --images")


def _require_half(imported: ForeignWeights, source: Path) -> None:
    """Raise ConfigError where float16 would turn a number into infinity."""
    largest = max(float(np.abs(array).max()) for array in imported.arrays)
    if largest > _LARGEST_HALF:
        raise ConfigError(
            f"{source}: --half: float16 ends at {_LARGEST_HALF:g}, the weights reach {largest:.6g}"
        )


# --- the card's fields -------------------------------------------------------------------------------------


def _read(source: Path, *, trust_pickle: bool) -> ForeignWeights:
    if not source.is_file():
        raise ConfigError(f"{source}: there is no such file; SOURCE is a weights file or a model folder")
    if source.suffix.lower() in _KERAS_SUFFIXES:
        from workers.models.keras_files import read_keras  # noqa: PLC0415  # loads h5py

        return read_keras(source)
    from workers.models.torch_files import read_torch  # noqa: PLC0415  # loads PyTorch

    return read_torch(source, trust_pickle=trust_pickle)


def _with_findings(
    imported: ForeignWeights, layout: Layout, told: ImportOptions, source: Path
) -> ForeignWeights:
    """Name the outputs, and drop those without a name."""
    names: Sequence[str | None] | None
    names, whence = imported.findings, "the file itself"
    if told.findings is not None:
        wanted = tuple(finding or None for finding in told.findings)
        if names is not None and wanted != tuple(names):
            raise ConfigError(
                f"{source} names its outputs {_listed(names)}; --findings says {_listed(wanted)}: "
                "leave --findings away"
            )
        names, whence = wanted, "--findings"
    elif names is None:
        names, whence = _layout_findings(imported, layout), f"--layout {told.layout}"
    if names is None:
        raise ConfigError(
            f"--layout {told.layout} needs --findings A,B,...: {source.name} has {imported.outputs} outputs "
            "and does not say what they are, or which of them were trained"
        )
    if len(names) != imported.outputs:
        raise ConfigError(
            f"{source} has {imported.outputs} outputs, but {whence} names {len(names)} findings: "
            f"{_listed(names)}; see --findings"
        )
    return drop_unnamed(replace(imported, findings=tuple(names)))


def _layout_findings(imported: ForeignWeights, layout: Layout) -> tuple[str | None, ...] | None:
    if not layout.some_untrained or layout.findings is None or len(layout.findings) != imported.outputs:
        return layout.findings
    if imported.thresholds is None:
        return None
    pairs = zip(layout.findings, imported.thresholds, strict=True)
    return tuple(name if threshold is not None else None for name, threshold in pairs)


def _listed(names: Sequence[str | None]) -> str:
    return ",".join(name or "" for name in names)


def _thresholds(imported: ForeignWeights, layout: Layout, told: ImportOptions) -> tuple[float, ...]:
    if told.thresholds is not None:
        if len(told.thresholds) not in {1, imported.outputs}:
            raise ConfigError(
                f"--thresholds has {len(told.thresholds)} numbers for {imported.outputs} findings; "
                "give one for all or one a finding"
            )
        return _spread(told.thresholds, imported.outputs)
    found = imported.thresholds or (None,) * imported.outputs
    return tuple(layout.threshold if one is None else one for one in found)


def _pixels(channels: int, layout: Layout, told: ImportOptions, max_pixels: int) -> Preprocessing:
    given = {
        field: getattr(told, field)
        for field in ("size", "resize", "center_crop", "factor")
        if getattr(told, field) is not None
    }
    if layout.pixels is None:
        blank = {"factor": 1.0, "mean": (0.0,) * channels, "std": (1.0,) * channels}
        pixels = Preprocessing.model_validate(blank | {"channels": channels} | given)
    else:
        pixels = Preprocessing.model_validate(layout.pixels.model_dump() | given)
        if pixels.channels != channels:
            raise ConfigError(
                f"the file's network takes {channels} channels, --layout {told.layout} has "
                f"{pixels.channels}; it is of another layout"
            )
    mean, std = told.mean, told.std
    if told.manifest is not None and told.images is not None:
        from workers.training.statistics import sampled_statistics  # noqa: PLC0415  # not needed for the others

        mean, std = sampled_statistics(told.manifest, told.images, pixels, max_pixels)
    if mean is None or std is None:
        return pixels
    return Preprocessing.model_validate(
        pixels.model_dump() | {"mean": _spread(mean, channels), "std": _spread(std, channels)}
    )


def _spread(numbers: tuple[float, ...], count: int) -> tuple[float, ...]:
    return numbers * count if len(numbers) == 1 else numbers


# --- errors ------------------------------------------------------------------------------------------------


@contextmanager
def _one_line(source: Path) -> Iterator[None]:
    """Say in one line which of the card's fields would be wrong."""
    try:
        yield
    except ValidationError as error:
        raise ConfigError(f"{source}: as told, its card would be wrong: {problems_of(error)}") from error


@contextmanager
def _writing(models_dir: Path) -> Iterator[None]:
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        # shutil.Error is an OSError that holds a list instead of a number.
        raise ConfigError(f"{error.filename or models_dir}: {error.strerror or error}") from error
