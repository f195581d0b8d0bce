"""Read a 3-D U-Net's weights out of Keras' files, by the order of their layers; no code of a file is used."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.errors import ConfigError
from workers.models.keras_layers import Layer, read_array, read_layers

_KERNEL_AXES: Final = 5
_DEPTHS: Final = range(2, 7)
_MOST_FILTERS: Final = 128
_MOST_OUTPUTS: Final = 100

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class UNetWeights:
    """A 3-D U-Net's arrays in the order of `unet3d.build`, kernels DHWIO, and what they show of it."""

    arrays: list[NDArray[np.float32]]
    base: int
    depth: int
    channels: int
    classes: int


def read_unet(path: Path) -> UNetWeights:
    """Read the weights of a U-Net as `unet3d.build` makes it from a file that Keras wrote.

    Whether its pictures had channels first or last does not show and does not matter: kernels are the same.
    Layers are taken in the model's order; their number, every array's shape and all values are checked.
    Raises ConfigError where the file cannot be read, or holds another network.
    """
    return read_layers(path, _arrange)


def planned_shapes(base: int, depth: int, channels: int, classes: int) -> list[Shape]:
    """Return the kernels' shapes of a U-Net in the model's order: down, up, and the head."""
    shapes: list[Shape] = []
    given = channels
    for level in range(depth):
        for filters in (base * 2**level, 2 * base * 2**level):
            shapes.append((3, 3, 3, given, filters))
            given = filters
    for level in reversed(range(depth - 1)):
        filters = 2 * base * 2**level
        # Beside what comes from below: the second convolution of the same level on the way down.
        shapes += [(3, 3, 3, given + filters, filters), (3, 3, 3, filters, filters)]
        given = filters
    return [*shapes, (1, 1, 1, given, classes)]


def _arrange(layers: list[Layer]) -> UNetWeights:
    for layer in layers:
        if sorted(layer.parts) != ["bias", "kernel"] or layer.kernel_axes != _KERNEL_AXES:
            raise ConfigError(
                f"its layer {layer.name} holds {', '.join(layer.parts)}, no kernel and bias of a 3-D "
                "convolution; the course's U-Net has nothing else"
            )
    depth, rest = divmod(len(layers) + 1, 4)
    if rest or depth not in _DEPTHS:
        raise ConfigError(
            f"holds {len(layers)} convolutions; a U-Net has 4 per level, less one: 15 where it has 4 levels"
        )
    kernels = [tuple(layer.parts["kernel"].shape) for layer in layers]
    channels, base, classes = kernels[0][3], kernels[0][4], kernels[-1][4]
    if base > _MOST_FILTERS or max(channels, classes) > _MOST_OUTPUTS:
        raise ConfigError(f"has {channels} channels, {base} filters and {classes} classes; that is too large")
    planned = planned_shapes(base, depth, channels, classes)
    # All shapes before the first array is read: nothing larger than the network gets into memory.
    for layer, shape in zip(layers, planned, strict=True):
        for role, expected in (("kernel", shape), ("bias", shape[-1:])):
            part = layer.parts[role]
            if part.shape != expected:
                raise ConfigError(
                    f"{layer.name}: {role} is {part.shape}, a U-Net of base {base} has {expected} here"
                )
            if part.dtype.kind != "f":
                raise ConfigError(f"{layer.name}: {role} is of type {part.dtype}, not floating point")
    arrays = [read_array(layer, role) for layer in layers for role in ("kernel", "bias")]
    return UNetWeights(arrays, base, depth, channels, classes)
