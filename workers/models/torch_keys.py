"""From the keys that PyTorch saves DenseNets under to the arrays of Keras' variables, in their order."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from config.errors import ConfigError
from workers.models.plan import FEATURES, KERNEL_AXES, plan

State = dict[str, NDArray[np.number]]
"""Arrays by their keys."""

Facts = dict[str, Any]
"""What a file says about its outputs, by its library's names and in its library's types."""

_CHANNELS: Final = (1, 3)
_NORM: Final = ("weight", "bias", "running_mean", "running_var")
_FIRST: Final = "features.conv0.weight"
_HEAD_WEIGHT: Final = re.compile(r"classifier(\.\d+)*\.weight")
# Files of old torchvision, CheXNet's copies among them, name a dense layer's parts norm.1, conv.1 ...
_OLD_NAME: Final = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")

_EPSILON_DIFFERENCE: Final = 1e-5 - 1.001e-5
"""PyTorch's epsilon of a batch norm minus Keras': added to a variance, both divide by the same number."""


def own_keys(path: Path, state: State) -> tuple[State, Facts]:
    """Return the network's arrays under torchvision's present names, and the facts stored among them."""
    first = next((key for key in state if key.endswith(_FIRST)), None)
    if first is None:
        raise ConfigError(
            f"{path}: is no DenseNet: {_FIRST} is not among its {len(state)} arrays"
            + (f", the first is {next(iter(state))}" if state else "")
        )
    prefix = first.removesuffix(_FIRST)
    own: State = {}
    facts: Facts = {}
    for key, value in state.items():
        name = _OLD_NAME.sub(r"\1\2", key.removeprefix(prefix))
        if name == "op_threshs":
            facts["op_threshs"] = value
        elif not name.endswith(".num_batches_tracked"):
            own[name] = value
    heads = [name for name in own if _HEAD_WEIGHT.fullmatch(name)]
    if len(heads) == 1:
        at = heads[0].removesuffix("weight")
        own = {
            "classifier." + name.removeprefix(at) if name.startswith(at) else name: value
            for name, value in own.items()
        }
    return own, facts


def convert(path: Path, state: State) -> list[NDArray[np.float32]]:
    """Return the arrays in Keras' order and layout; ConfigError where they are not a DenseNet-121's."""
    expected = dict(_shapes(state))
    missing = [name for name in expected if name not in state]
    unexpected = [name for name in state if name not in expected]
    if not unexpected and missing and all(name.startswith("classifier.") for name in missing):
        raise ConfigError(f"{path}: has no {missing[0]}: the head is missing, features alone find nothing")
    if missing or unexpected:
        differences = [
            f"{what} {len(names)} arrays, the first is {names[0]}"
            for what, names in (("it lacks", missing), ("it has other", unexpected))
            if names
        ]
        raise ConfigError(
            f"{path}: is no DenseNet-121 with one linear layer as head: {'; '.join(differences)}"
        )
    for name, shape in expected.items():
        if state[name].shape != shape:
            raise ConfigError(f"{path}: {name} is {state[name].shape}, DenseNet-121's is {shape}")
        if not np.isfinite(state[name]).all():
            raise ConfigError(f"{path}: {name} holds NaN or infinity; take an earlier checkpoint")
    return [_to_keras(name, state[name]) for name in expected]


def _shapes(state: State) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield DenseNet-121's keys in the order of Keras' variables, with PyTorch's shapes.

    Channels and outputs are the state's own where they can be.
    """
    first, head = state[_FIRST], state.get("classifier.weight")
    channels = first.shape[1] if first.ndim > 1 and first.shape[1] in _CHANNELS else _CHANNELS[-1]
    outputs = max(1, head.shape[0]) if head is not None and head.ndim else 1
    for layer in plan(channels):
        if len(layer.shape) == 1:
            yield from ((f"{layer.torch}.{part}", layer.shape) for part in _NORM)
        else:
            yield f"{layer.torch}.weight", layer.shape[::-1]
    yield "classifier.weight", (outputs, FEATURES)
    yield "classifier.bias", (outputs,)


def _to_keras(name: str, array: NDArray[np.number]) -> NDArray[np.float32]:
    if name.endswith(".running_var"):
        array = array.astype(np.float64) + _EPSILON_DIFFERENCE
    # (out, in, height, width) to (height, width, in, out); a linear layer's (out, in) to (in, out)
    turned = array.transpose(2, 3, 1, 0) if array.ndim == KERNEL_AXES else array.T
    return np.ascontiguousarray(turned, dtype=np.float32)
