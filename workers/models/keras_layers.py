"""The layers that hold weights in a file of any version of Keras, before they are matched with a network."""

import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Final, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from config.errors import ConfigError
from workers.inference.networks.depths import DEPTHS, nearest_to
from workers.models.hdf5 import dataset, hdf5_of, member
from workers.models.plan import KERNEL_AXES, plan

T = TypeVar("T")

NORM: Final = ("gamma", "beta", "moving_mean", "moving_variance")

_DENSE: Final = ("kernel", "bias")

_MOST_NAMES: Final = 10_000
_DEEPEST: Final = 16

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
_NUMBER: Final = re.compile(r"_?(\d{1,9})\Z")
# Of no layer, or no weights: what a compiled model and a Dropout store beside them.
_NOT_WEIGHTS: Final = frozenset({"optimizer", "metrics", "seed_generator"})

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


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer with weights by their role: HDF5 datasets, none of them read yet, or arrays."""

    name: str
    parts: dict[str, h5py.Dataset | NDArray[np.floating]]

    @property
    def kernel_axes(self) -> int:
        """The number of the kernel's axes: 4 for a convolution, 2 for a dense layer, 0 without a kernel."""
        return len(self.parts["kernel"].shape) if "kernel" in self.parts else 0


def read_layers(path: Path, arrange: Callable[[list[Layer]], T]) -> T:
    """Return what is made of the layers with weights in a file that Keras wrote, in the model's order.

    The file is open while `arrange` works. Raises ConfigError, with the path, where the file cannot be read
    or is damaged, or `arrange` refuses it.
    """
    try:
        with hdf5_of(path) as file:
            full_model = file.get("model_weights", getlink=True) is not None
            root = member(file, "model_weights") if full_model else file
            layers = _legacy_layers(root) if _has_names(root, "layer_names") else _keras_3_layers(root)
            return arrange(layers)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (FileNotFoundError, PermissionError) as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except _DAMAGE as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: is damaged or not complete; fetch it again ({reason})") from None


def read_array(layer: Layer, role: str) -> NDArray[np.float32]:
    """Read a part of a layer as float32; ConfigError for values that no trained network has."""
    with np.errstate(over="ignore"):  # a float64 too large for float32 is found as infinite
        values: NDArray[np.float32] = layer.parts[role][()].astype(np.float32)
    if not np.isfinite(values).all():
        raise ConfigError(f"{layer.name}: {role} has values that are NaN or infinite; the training diverged")
    if role == "moving_variance" and values.min() < 0:
        raise ConfigError(f"{layer.name}: {role} has negative values, which no variance has")
    return values


def _has_names(group: h5py.Group, attribute: str) -> bool:
    """Return whether a group lists names under an attribute, in one piece or in several."""
    return attribute in group.attrs or f"{attribute}0" in group.attrs


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """Read a list of names, which Keras splits into numbered pieces where one attribute cannot hold it."""
    pieces = takewhile(group.attrs.__contains__, (f"{attribute}{index}" for index in count()))
    names: list[str] = []
    for piece in [attribute] if attribute in group.attrs else pieces:
        if len(names) + np.prod(group.attrs.get_id(piece).shape) > _MOST_NAMES:
            raise ConfigError(f"{group.name}: {attribute} has more than {_MOST_NAMES:,} names")
        names += [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs[piece]]
    return names


def _legacy_layers(root: h5py.Group) -> list[Layer]:
    """Return the layers of a file of Keras 1 or 2, in the model's order."""
    layers: dict[str, Layer] = {}
    mixed = False
    for group_name in _names(root, "layer_names"):
        group = member(root, group_name)
        names = _names(group, "weight_names")
        roles = []
        for name in names:
            prefix, role = _split(name)
            layer = layers.setdefault(f"{group_name} {prefix}", Layer(_standard(prefix or group_name), {}))
            if role in layer.parts:
                raise ConfigError(f"{group_name} holds {name} twice")
            layer.parts[role] = dataset(group, name)
            roles.append(role)
        mixed |= _partly_frozen(roles)
    return _in_named_order(list(layers.values()), mixed=mixed)


def named_layers(arrays: Mapping[str, NDArray[np.floating]]) -> list[Layer]:
    """Return the layers of variables that are named as `conv1_bn/gamma`, in their order."""
    layers: dict[str, Layer] = {}
    for name, array in arrays.items():
        layer, role = _split(name)
        layers.setdefault(layer, Layer(_standard(layer), {})).parts[role] = array
    return list(layers.values())


def _split(name: str) -> tuple[str, str]:
    """Split a weight's name into layer and role: `conv1/conv/kernel:0` into `conv1/conv` and `kernel`."""
    name = name.partition(":")[0]
    layer, _, role = name.rpartition("/")
    keras_1 = _KERAS_1_NAME.fullmatch(role)
    return (keras_1[1], _KERAS_1_ROLES[keras_1[2]]) if keras_1 else (layer, role)


def _standard(name: str) -> str:
    """Return a layer's name as Keras 3 writes it; until Keras 2 `conv1_conv` was `conv1/conv`."""
    return name.replace("/", "_")


def _partly_frozen(roles: list[str]) -> bool:
    """Return whether one group's list puts a sub-model's trainable layers before its frozen ones.

    Keras lists what is trainable first. Moving statistics never are: the first of them comes after all
    kernels (or gammas) or, where all layers are frozen, after the first layer's.
    """
    first = next((index for index, role in enumerate(roles) if role.startswith("moving_")), len(roles))
    before, after = Counter(roles[:first]), Counter(roles[first:])
    return any(before[role] > 1 and after[role] for role in ("kernel", "gamma"))


def _in_named_order(layers: list[Layer], *, mixed: bool) -> list[Layer]:
    """Sort the layers of a DenseNet that was partly frozen, whose list is not in the model's order."""
    if not mixed:
        return layers
    depth = DEPTHS[nearest_to(sum(layer.kernel_axes == KERNEL_AXES for layer in layers))]
    places = {layer.keras: place for place, layer in enumerate(plan(depth, channels=3))}
    if not places.keys() <= {layer.name for layer in layers}:
        raise ConfigError(
            "was saved with some of its layers frozen and under names that do not show their order; "
            "set model.trainable = True and save it again"
        )
    return sorted(layers, key=lambda layer: places.get(layer.name, len(places)))


def _keras_3_layers(root: h5py.Group) -> list[Layer]:
    """Return the layers of a file of Keras 3, in the model's order."""
    layers = list(_walk(root, "", 0))
    parents = {layer.name.rpartition("/")[0] for layer in layers if layer.kernel_axes == KERNEL_AXES}
    if len(parents) > 1:
        raise ConfigError(
            f"its convolutions are in {len(parents)} parts ({', '.join(sorted(parents)[:3])}), "
            "and the file does not show their order; save the DenseNet as one model"
        )
    return layers


def _walk(group: h5py.Group, path: str, depth: int) -> Iterator[Layer]:
    """Yield the layers below a group; `conv2d`, `conv2d_1`, `conv2d_2` are numbered in the model's order."""
    if depth > _DEEPEST or len(group) > _MOST_NAMES:
        raise ConfigError(f"its group {path} is nested deeper or is larger than a DenseNet's")
    for name in sorted(group, key=_counted):
        if name in _NOT_WEIGHTS:
            continue
        below = f"{path}/{name}" if path else name
        child = member(group, name)
        if not isinstance(child, h5py.Group):
            raise ConfigError(f"{below} is an array where Keras has none; the file is not Keras'")
        if name == "vars":
            parts = [dataset(child, index) for index in sorted(child, key=_counted)]
            if parts:
                yield Layer(path, dict(zip(_roles(len(parts)), parts, strict=True)))
        else:
            yield from _walk(child, below, depth + 1)


def _counted(name: str) -> tuple[str, int]:
    number = _NUMBER.search(name)
    return (name[: number.start()], int(number[1])) if number else (name, 0)


def _roles(number: int) -> tuple[str, ...]:
    """Name a layer's variables, which Keras 3 only numbers."""
    if number == len(NORM):
        return NORM
    return _DENSE[:number] if number <= len(_DENSE) else tuple(map(str, range(number)))
