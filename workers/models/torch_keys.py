"""From the keys that PyTorch saves DenseNets under to the arrays of Keras' variables, in their order."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from config.errors import ConfigError
from workers.models.plan import KERNEL_AXES
from workers.models.torch_names import shapes
from workers.models.trees import Network

Facts = dict[str, Any]
"""What a file says about its outputs, by its library's names and in its library's types."""

_CHANNELS: Final = (1, 3)
_FIRST: Final = "features.conv0.weight"

_EPSILON_DIFFERENCE: Final = 1e-5 - 1.001e-5
"""PyTorch's epsilon of a batch norm minus Keras': added to a variance, both divide by the same number."""


def convert(path: Path, network: Network) -> list[NDArray[np.float32]]:
    """Return a network's arrays in Keras' order and layout; ConfigError where a shape is not its depth's."""
    state = network.arrays
    first = state[_FIRST]
    channels = first.shape[1] if first.ndim > 1 and first.shape[1] in _CHANNELS else _CHANNELS[-1]
    expected = dict(shapes(network.depth, channels, network.outputs))
    for name, shape in expected.items():
        key = network.keys.get(name, name)
        if state[name].shape != shape:
            raise ConfigError(f"{path}: {key} is {state[name].shape}, {network.depth.name}'s is {shape}")
        if not np.isfinite(state[name]).all():
            raise ConfigError(f"{path}: {key} holds NaN or infinity; take an earlier checkpoint")
        if name.endswith(".running_var") and state[name].min() < 0:
            raise ConfigError(
                f"{path}: {key} has negative values, which no variance has; take an earlier checkpoint"
            )
    return [_to_keras(name, state[name]) for name in expected]


def _to_keras(name: str, array: NDArray[np.number]) -> NDArray[np.float32]:
    if name.endswith(".running_var"):
        array = array.astype(np.float64) + _EPSILON_DIFFERENCE
    # (out, in, height, width) to (height, width, in, out); a linear layer's (out, in) to (in, out)
    turned = array.transpose(2, 3, 1, 0) if array.ndim == KERNEL_AXES else array.T
    return np.ascontiguousarray(turned, dtype=np.float32)
