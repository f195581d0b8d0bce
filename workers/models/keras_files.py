"""Read a DenseNet's weights out of Keras' files. h5py reads arrays; no code or config of a file is used."""

from pathlib import Path
from typing import Final

from config.errors import ConfigError
from workers.inference.networks.depths import DEPTHS, Depth, nearest_to
from workers.models.foreign_weights import ForeignWeights
from workers.models.keras_layers import (
    NORM,
    Layer,
    read_array,
    read_layers,
)
from workers.models.plan import KERNEL_AXES, plan

_MOST_OUTPUTS: Final = 1000  # ImageNet's classes; no set of findings comes near


def read_keras(path: Path) -> ForeignWeights:
    """Read a DenseNet's weights with a dense head from a file that Keras wrote.

    Keras 1 and 2: HDF5 of `save_weights` or `save`; Keras 3: `.weights.h5`, `.keras`, and HDF5 as before. The
    DenseNet may be a layer of another model. A file's content decides what it is, not its name. Layers are
    taken in the model's order, and every array's shape is checked. The arrays are finite.

    What arrays do not show is for the caller to know: the pixels' scaling, the findings' names, whether the
    head ends in a sigmoid, whether a ReLU precedes the pooling. Raises ConfigError where the file cannot
    be read, or is not a DenseNet with one dense head.
    """
    return read_layers(path, arrange)


def arrange(layers: list[Layer]) -> ForeignWeights:
    """Put the layers' arrays in the network's order; ConfigError, without a path, for any other network."""
    convolutions, norms, heads = _by_kind(layers)
    architecture = nearest_to(len(convolutions))
    depth = DEPTHS[architecture]
    _check_numbers(depth, len(convolutions), len(norms), len(heads))
    channels = _channels(depth, convolutions[0])
    [head] = heads
    outputs = head.parts["kernel"].shape[1]
    if not 1 <= outputs <= _MOST_OUTPUTS:
        raise ConfigError(f"its head {head.name} has {outputs:,} outputs; 1 to {_MOST_OUTPUTS:,} can be used")

    kinds = {KERNEL_AXES: (iter(convolutions), ("kernel",)), 1: (iter(norms), NORM)}
    wanted = []
    for planned in plan(depth, channels):
        following, roles = kinds[len(planned.shape)]
        layer = next(following)
        wanted += [(layer, role, planned.keras, planned.shape) for role in roles]
    wanted += [(head, "kernel", "head", (depth.features, outputs)), (head, "bias", "head", (outputs,))]
    # All shapes before the first array is read: nothing larger than a DenseNet gets into memory.
    for layer, role, name, shape in wanted:
        _check_shape(depth, layer, role, name, shape)
    arrays = [read_array(layer, role) for layer, role, _, _ in wanted]
    return ForeignWeights(architecture, arrays, channels, outputs)


def _by_kind(layers: list[Layer]) -> tuple[list[Layer], list[Layer], list[Layer]]:
    """Sort layers into convolutions, batch norms and dense layers; any other is none of a DenseNet's."""
    convolutions, norms, heads = [], [], []
    for layer in layers:
        match sorted(layer.parts), layer.kernel_axes:
            case ["kernel"], 4:
                convolutions.append(layer)
            case ["beta", "gamma", "moving_mean", "moving_variance"], _:
                norms.append(layer)
            case ["bias", "kernel"], 2:
                heads.append(layer)
            case ["bias", "kernel"], 5:
                raise ConfigError(
                    f"its layer {layer.name} is a 3-D convolution: a network of volumes; --layout "
                    "course-unet reads the course's U-Net"
                )
            case ["bias", "kernel"], 4:
                raise ConfigError(f"has a bias in {layer.name}; a DenseNet's convolutions have none")
            case roles, axes:
                kernel = f" (a kernel of {axes} axes)" if axes else ""
                raise ConfigError(
                    f"its layer {layer.name} holds {', '.join(roles)}{kernel}; a DenseNet has only "
                    "convolutions without bias, batch norms, and a dense head with kernel and bias"
                )
    return convolutions, norms, heads


def _check_numbers(depth: Depth, convolutions: int, norms: int, heads: int) -> None:
    axes = [len(layer.shape) for layer in plan(depth, channels=3)]
    expected = axes.count(KERNEL_AXES), axes.count(1)
    if (convolutions, norms) != expected:
        raise ConfigError(
            f"holds {convolutions} convolutions and {norms} batch norms, {depth.name} has {expected[0]} and "
            f"{expected[1]}"
        )
    if heads == 0:
        raise ConfigError("has no head: the dense layer is missing (include_top=False); save the whole model")
    if heads > 1:
        raise ConfigError(f"has {heads} dense layers; the head must be one")


def _channels(depth: Depth, first: Layer) -> int:
    shape = first.parts["kernel"].shape
    channels = int(shape[2])
    if channels not in {1, 3} and shape == (7, 7, channels, depth.stem):
        raise ConfigError(f"takes pictures of {channels} channels; 1 or 3 can be prepared")
    return channels


def _check_shape(depth: Depth, layer: Layer, role: str, name: str, expected: tuple[int, ...]) -> None:
    part = layer.parts[role]
    if part.shape != expected:
        raise ConfigError(f"{layer.name}: {role} is {part.shape}, {depth.name}'s {name} has {expected} here")
    if part.dtype.kind != "f":
        raise ConfigError(f"{layer.name}: {role} is of type {part.dtype}, not floating point")
