"""Read DenseNet-121's weights out of Keras' files. h5py reads arrays; no code or config of a file is used."""

import re
import shutil
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any, Final

import h5py  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from config.errors import ConfigError
from workers.models.imported import ForeignWeights

_HDF5_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_ZIP_SIGNATURE: Final = b"PK\x03\x04"
_PICKLE_SIGNATURES: Final = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))

_BLOCKS: Final = (6, 12, 24, 16)
_GROWTH: Final = 32
_FEATURES: Final = 1024
_MOST_OUTPUTS: Final = 1000  # ImageNet's classes; no set of findings comes near
_SIBLINGS: Final = {168: "DenseNet-169", 200: "DenseNet-201"}  # by their convolutions

_MEMBER: Final = "model.weights.h5"
# The weights are 29 MB; an optimiser's moments, twice that, and float64 are allowed for.
_LARGEST_MEMBER: Final = 512 * 2**20
_MOST_NAMES: Final = 10_000
_DEEPEST: Final = 16

# What h5py and zipfile raise for files that are cut off or damaged.
_DAMAGE: Final = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)

_NORM: Final = ("gamma", "beta", "moving_mean", "moving_variance")
# Keras 1 wrote `conv1_W` for what is `conv1/kernel:0` since Keras 2. Its running_std is a variance.
_KERAS_1_ROLES: Final = {
    "W": "kernel",
    "b": "bias",
    "gamma": "gamma",
    "beta": "beta",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",
}
_KERAS_1_NAME: Final = re.compile(rf"(.+)_({'|'.join(_KERAS_1_ROLES)})")
# Of no layer, or no weights: what a compiled model and a Dropout store beside them.
_NOT_WEIGHTS: Final = frozenset({"optimizer", "metrics", "seed_generator"})

_KERNEL_AXES: Final = 4
_MATRIX_AXES: Final = 2


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer with weights: HDF5 datasets by their role, none of them read yet."""

    name: str
    parts: dict[str, Any]

    @property
    def kernel_axes(self) -> int:
        return len(self.parts["kernel"].shape) if "kernel" in self.parts else 0


def read_keras(path: Path) -> ForeignWeights:
    """Read DenseNet-121's weights with a dense head out of a file that Keras wrote.

    Keras 1 and 2: HDF5 of `save_weights` or `save`; Keras 3: `.weights.h5`, `.keras`, and HDF5 as before. The
    DenseNet may be a layer of another model. What a file is, its content tells, not its name. Layers are
    taken in the model's order, and every array's shape is checked. The arrays are finite.

    What arrays do not tell stays the caller's to know: the pixels' scaling, the findings' names, whether the
    head ends in a sigmoid, whether a ReLU stands before the pooling. Raises ConfigError where the file cannot
    be read, or is not DenseNet-121 with one dense head.
    """
    try:
        with _hdf5(path) as file:
            full_model = file.get("model_weights", getlink=True) is not None
            root = _member(file, "model_weights") if full_model else file
            layers = _legacy_layers(root) if _has_names(root, "layer_names") else _keras_3_layers(root)
            return _arrange(layers)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (FileNotFoundError, PermissionError) as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except _DAMAGE as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: is damaged or not complete; fetch it again ({reason})") from None


# --- the file ----------------------------------------------------------------------------------------------


@contextmanager
def _hdf5(path: Path) -> Iterator[Any]:
    """Open the HDF5 file that holds the weights, out of a `.keras` through a temporary file."""
    if path.is_dir():
        raise ConfigError("is a folder; save the model as one .h5 or .keras file with Keras first")
    if path.exists() and not path.is_file():
        raise ConfigError("is a device or a pipe, not a file")
    with path.open("rb") as file:
        start = file.read(len(_HDF5_SIGNATURE))
    if start == _HDF5_SIGNATURE:
        with h5py.File(path, "r") as opened:
            yield opened
    elif start.startswith(_ZIP_SIGNATURE):
        with tempfile.NamedTemporaryFile(suffix=".h5") as unpacked:
            _unpack(path, unpacked)
            with h5py.File(unpacked.name, "r") as opened:
                yield opened
    elif not start:
        raise ConfigError("the file has 0 bytes")
    elif start.startswith(_PICKLE_SIGNATURES):
        raise ConfigError("is a pickle, which is code; Keras' weights are .h5 or .keras files")
    else:
        raise ConfigError("is neither HDF5 nor a .keras file")


def _unpack(path: Path, target: Any) -> None:
    with zipfile.ZipFile(path) as archive:
        if _MEMBER not in archive.namelist():
            raise ConfigError(f"is a zip without {_MEMBER}, so not a .keras file")
        # zipfile never gives more bytes than the size that it names here.
        size = archive.getinfo(_MEMBER).file_size
        if size > _LARGEST_MEMBER:
            raise ConfigError(
                f"its {_MEMBER} has {size:,} bytes, more than any DenseNet-121 needs ({_LARGEST_MEMBER:,})"
            )
        with archive.open(_MEMBER) as member:
            shutil.copyfileobj(member, target)
    target.flush()


def _member(group: Any, path: str) -> Any:
    """Give what lies in this file at a path. A link could lead to another file, or in a circle."""
    found = group
    for step in filter(None, path.split("/")):
        # get() with getlink looks at the link alone; `in` would follow it.
        link = found.get(step, getlink=True) if isinstance(found, h5py.Group) else None
        if link is None:
            raise ConfigError(f"{path} is named in it, but is not there")
        if not isinstance(link, h5py.HardLink):
            raise ConfigError(f"{path} is a link to elsewhere, and links are not followed")
        found = found[step]
    return found


def _dataset(group: Any, path: str) -> Any:
    found = _member(group, path)
    if not isinstance(found, h5py.Dataset):
        raise ConfigError(f"{path} is no array")
    if found.is_virtual or found.external:
        raise ConfigError(f"{path} is kept in another file, and links are not followed")
    return found


# --- Keras 1 and 2 -----------------------------------------------------------------------------------------


def _has_names(group: Any, attribute: str) -> bool:
    return attribute in group.attrs or f"{attribute}0" in group.attrs


def _names(group: Any, attribute: str) -> list[str]:
    """Read a list of names, which Keras cuts in numbered pieces where one attribute cannot hold it."""
    pieces = takewhile(group.attrs.__contains__, (f"{attribute}{index}" for index in count()))
    names: list[str] = []
    for piece in [attribute] if attribute in group.attrs else pieces:
        if len(names) + np.prod(group.attrs.get_id(piece).shape) > _MOST_NAMES:
            raise ConfigError(f"{group.name}: {attribute} has more than {_MOST_NAMES:,} names")
        names += [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs[piece]]
    return names


def _legacy_layers(root: Any) -> list[_Layer]:
    layers: dict[str, _Layer] = {}
    mixed = False
    for group_name in _names(root, "layer_names"):
        group = _member(root, group_name)
        names = _names(group, "weight_names")
        roles = []
        for name in names:
            prefix, role = _split(name)
            layer = layers.setdefault(f"{group_name} {prefix}", _Layer(_standard(prefix or group_name), {}))
            if role in layer.parts:
                raise ConfigError(f"{group_name} holds {name} twice")
            layer.parts[role] = _dataset(group, name)
            roles.append(role)
        mixed |= _partly_frozen(roles)
    return _in_named_order(list(layers.values()), mixed=mixed)


def _split(name: str) -> tuple[str, str]:
    """Split a weight's name in its layer's and its role: `conv1/conv/kernel:0` in `conv1/conv`, `kernel`."""
    name = name.partition(":")[0]
    layer, _, role = name.rpartition("/")
    keras_1 = _KERAS_1_NAME.fullmatch(role)
    return (keras_1[1], _KERAS_1_ROLES[keras_1[2]]) if keras_1 else (layer, role)


def _standard(name: str) -> str:
    """Give a layer's name as Keras 3 writes it; until Keras 2 `conv1_conv` was `conv1/conv`."""
    return name.replace("/", "_")


def _partly_frozen(roles: list[str]) -> bool:
    """Tell whether one group's list puts a sub-model's trainable layers before its frozen ones.

    Keras lists what is trainable first. Moving statistics never are: before the first of them stand either
    all kernels (or gammas) or, where all layers are frozen, the first layer's.
    """
    first = next((index for index, role in enumerate(roles) if role.startswith("moving_")), len(roles))
    before, after = Counter(roles[:first]), Counter(roles[first:])
    return any(before[role] > 1 and after[role] for role in ("kernel", "gamma"))


def _in_named_order(layers: list[_Layer], *, mixed: bool) -> list[_Layer]:
    """Sort the layers of a DenseNet that was frozen in part: there the list is not in the model's order."""
    if not mixed:
        return layers
    places = {name: place for place, (name, _) in enumerate(_plan(channels=3))}
    if not places.keys() <= {layer.name for layer in layers}:
        raise ConfigError(
            "was saved with some of its layers frozen and under names that do not tell their order; "
            "set model.trainable = True and save it again"
        )
    return sorted(layers, key=lambda layer: places.get(layer.name, len(places)))


# --- Keras 3 -----------------------------------------------------------------------------------------------


def _keras_3_layers(root: Any) -> list[_Layer]:
    layers = list(_walk(root, "", 0))
    parents = {layer.name.rpartition("/")[0] for layer in layers if layer.kernel_axes == _KERNEL_AXES}
    if len(parents) > 1:
        raise ConfigError(
            f"its convolutions are in {len(parents)} parts ({', '.join(sorted(parents)[:3])}), "
            "and the file does not tell their order; save the DenseNet as one model"
        )
    return layers


def _walk(group: Any, path: str, depth: int) -> Iterator[_Layer]:
    """Give the layers below a group; `conv2d`, `conv2d_1`, `conv2d_2` are numbered in the model's order."""
    if depth > _DEEPEST or len(group) > _MOST_NAMES:
        raise ConfigError(f"its group {path} is nested deeper or is larger than a DenseNet-121's")
    for name in sorted(group, key=_counted):
        if name in _NOT_WEIGHTS:
            continue
        below = f"{path}/{name}" if path else name
        child = _member(group, name)
        if not isinstance(child, h5py.Group):
            raise ConfigError(f"{below} is an array where Keras has none; the file is not Keras'")
        if name == "vars":
            parts = [_dataset(child, index) for index in sorted(child, key=_counted)]
            if parts:
                yield _Layer(path, dict(zip(_roles(len(parts)), parts, strict=True)))
        else:
            yield from _walk(child, below, depth + 1)


def _counted(name: str) -> tuple[str, int]:
    stem, number = re.fullmatch(r"(.*?)(?:_?(\d{1,9}))?", name, re.DOTALL).groups()  # type: ignore[union-attr]
    return stem, int(number or 0)


def _roles(number: int) -> tuple[str, ...]:
    """Name a layer's variables, which Keras 3 only numbers."""
    if number == len(_NORM):
        return _NORM
    return (
        ("kernel", "bias")[:number] if number <= len(("kernel", "bias")) else tuple(map(str, range(number)))
    )


# --- DenseNet-121 ------------------------------------------------------------------------------------------


def _plan(channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Give name and shape of each layer before the head: a kernel's HWIO, a batch norm's width."""
    width = 2 * _GROWTH
    yield "conv1_conv", (7, 7, channels, width)
    yield "conv1_bn", (width,)
    for stage, blocks in enumerate(_BLOCKS, start=2):
        for block in range(1, blocks + 1):
            name = f"conv{stage}_block{block}"
            yield f"{name}_0_bn", (width,)
            yield f"{name}_1_conv", (1, 1, width, 4 * _GROWTH)
            yield f"{name}_1_bn", (4 * _GROWTH,)
            yield f"{name}_2_conv", (3, 3, 4 * _GROWTH, _GROWTH)
            width += _GROWTH
        if stage <= len(_BLOCKS):
            yield f"pool{stage}_bn", (width,)
            yield f"pool{stage}_conv", (1, 1, width, width // 2)
            width //= 2
    yield "bn", (width,)


def _arrange(layers: list[_Layer]) -> ForeignWeights:
    convolutions, norms, heads = _by_kind(layers)
    _check_numbers(len(convolutions), len(norms), len(heads))
    channels = _channels(convolutions[0])
    [head] = heads
    outputs = head.parts["kernel"].shape[1]
    if not 1 <= outputs <= _MOST_OUTPUTS:
        raise ConfigError(f"its head {head.name} has {outputs:,} outputs; 1 to {_MOST_OUTPUTS:,} can be used")

    kinds = {_KERNEL_AXES: (iter(convolutions), ("kernel",)), 1: (iter(norms), _NORM)}
    wanted = []
    for name, shape in _plan(channels):
        following, roles = kinds[len(shape)]
        layer = next(following)
        wanted += [(layer, role, name, shape) for role in roles]
    wanted += [(head, "kernel", "head", (_FEATURES, outputs)), (head, "bias", "head", (outputs,))]
    # All shapes before the first array is read: nothing larger than a DenseNet-121 gets into memory.
    for layer, role, name, shape in wanted:
        _check_shape(layer, role, name, shape)
    return ForeignWeights([_read(layer, role) for layer, role, _, _ in wanted], channels, outputs)


def _by_kind(layers: list[_Layer]) -> tuple[list[_Layer], list[_Layer], list[_Layer]]:
    """Sort layers into convolutions, batch norms and dense layers; any other is none of DenseNet-121's."""
    convolutions, norms, heads = [], [], []
    for layer in layers:
        match sorted(layer.parts), layer.kernel_axes:
            case ["kernel"], 4:
                convolutions.append(layer)
            case ["beta", "gamma", "moving_mean", "moving_variance"], _:
                norms.append(layer)
            case ["bias", "kernel"], 2:
                heads.append(layer)
            case ["bias", "kernel"], 4:
                raise ConfigError(f"has a bias in {layer.name}; DenseNet-121's convolutions have none")
            case roles, axes:
                kernel = f" (a kernel of {axes} axes)" if axes else ""
                raise ConfigError(
                    f"its layer {layer.name} holds {', '.join(roles)}{kernel}; DenseNet-121 has only "
                    "convolutions without bias, batch norms, and a dense head with kernel and bias"
                )
    return convolutions, norms, heads


def _check_numbers(convolutions: int, norms: int, heads: int) -> None:
    plan = [len(shape) for _, shape in _plan(channels=3)]
    expected = plan.count(_KERNEL_AXES), plan.count(1)
    if (convolutions, norms) != expected:
        sibling = _SIBLINGS.get(convolutions)
        raise ConfigError(
            f"holds {convolutions} convolutions and {norms} batch norms, DenseNet-121 has {expected[0]} and "
            f"{expected[1]}" + (f"; this is {sibling}" if sibling else "")
        )
    if heads == 0:
        raise ConfigError("has no head: the dense layer is missing (include_top=False); save the whole model")
    if heads > 1:
        raise ConfigError(f"has {heads} dense layers; the head must be one")


def _channels(first: _Layer) -> int:
    shape = first.parts["kernel"].shape
    channels = int(shape[2])
    if channels not in {1, 3} and shape == (7, 7, channels, 64):
        raise ConfigError(f"takes pictures of {channels} channels; 1 or 3 can be prepared")
    return channels


def _check_shape(layer: _Layer, role: str, name: str, expected: tuple[int, ...]) -> None:
    part = layer.parts[role]
    if part.shape != expected:
        raise ConfigError(f"{layer.name}: {role} is {part.shape}, DenseNet-121's {name} has {expected} here")
    if part.dtype.kind != "f":
        raise ConfigError(f"{layer.name}: {role} is of type {part.dtype}, not floating point")


def _read(layer: _Layer, role: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # a float64 too large for float32 is found as infinite
        values: NDArray[np.float32] = layer.parts[role][()].astype(np.float32)
    if not np.isfinite(values).all():
        raise ConfigError(f"{layer.name}: {role} has values that are NaN or infinite; the training diverged")
    if role == "moving_variance" and values.min() < 0:
        raise ConfigError(f"{layer.name}: {role} has negative values, which no variance has")
    return values
