"""Read a DenseNet's arrays off an ONNX graph, whose exporters merge layers and rename arrays.

A graph has no reliable names, but an order: each of DenseNet's layers needs all that come before it. Where an
exporter has put a batch norm into the convolution before it, the sum that is left becomes a norm of its own.
What was read is always compared with what the graph computes.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from config.errors import ConfigError
from workers.inference.networks.depths import DEPTHS, NAMES, Depth, nearest_to
from workers.models.advice import SAVE_STATE_DICT
from workers.models.foreign_weights import ForeignWeights
from workers.models.plan import KERNEL_AXES, PlannedLayer, plan

Graph = Any
"""A model of OpenVINO's; it has no types here, as the extra may be missing."""

_EPSILON: Final = 1.001e-5  # of our batch norms
_CHANNELS: Final = (1, 3)
_CONVOLUTION: Final = "convolution"
_NORM: Final = "norm"
_DENSE: Final = "dense"
_NORM_PARTS: Final = ("gamma", "beta", "mean", "variance")
# The norms that follow a convolution at once, so that exporters merge the two.
_AFTER_CONVOLUTION: Final = ("conv1_bn", "_1_bn")
_PASSED: Final = ("Reshape", "Convert", "Broadcast", "Unsqueeze", "Squeeze")

Layer = tuple[str, dict[str, NDArray[np.float64]]]
"""What a layer is, and its arrays by their part."""


def arrays_in_graph(graph: Graph) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of a graph's layers in its order, each by its place, its layer's kind and its part.

    `graph`: as OpenVINO parses it. A convolution has `kernel` (out, in, height, width) and perhaps `bias`, a
    batch norm `gamma`, `beta`, `mean` and `variance` (to which our epsilon is still to be added), a dense
    layer `kernel` (in, out) and perhaps `bias`. Raises ValueError where an array is not in the file.
    """
    return {
        f"{place:04d}.{kind}.{part}": np.ascontiguousarray(array, np.float32)
        for place, (kind, parts) in enumerate(_layers(graph))
        for part, array in parts.items()
    }


def _layers(graph: Graph) -> Iterator[Layer]:
    for operation in graph.get_ordered_ops():
        match operation.get_type_name():
            case "Convolution":
                yield _CONVOLUTION, {"kernel": _constant(operation, 1)} | _bias(operation)
            case "BatchNormInference":
                arrays = {part: _constant(operation, at) for at, part in enumerate(_NORM_PARTS, start=1)}
                arrays["variance"] = arrays["variance"] + operation.get_attributes()["epsilon"] - _EPSILON
                yield _NORM, arrays
            case "MatMul":
                kernel = _constant(operation, 1)
                turned = operation.get_attributes()["transpose_b"]
                yield _DENSE, {"kernel": kernel.T if turned else kernel} | _bias(operation)
            case "Multiply":
                yield from _product_and_sum(operation)


def _product_and_sum(operation: Graph) -> Iterator[Layer]:
    """Yield a batch norm that an exporter has computed as far as it can: x * factor + shift per channel."""
    sources = [operation.input_value(place).get_node() for place in (0, 1)]
    factors = [_value(source) for source in sources]
    kinds = {source.get_type_name() for source in sources}
    shift = _added(operation.output(0))
    # What follows a convolution or a dense layer was read as its bias.
    if kinds & {"Convolution", "MatMul"} or shift is None:
        return
    for factor in factors:
        if factor is not None and 1 < factor.size == shift.size:
            zeros = np.zeros(factor.size)
            yield (
                _NORM,
                {"gamma": factor.ravel(), "beta": shift, "mean": zeros, "variance": zeros + 1 - _EPSILON},
            )


def _constant(operation: Graph, place: int) -> NDArray[np.float64]:
    """Return an operation's input as the number it always is; ValueError where it is computed."""
    values = _value(operation.input_value(place).get_node())
    if values is None:
        raise ValueError(f"{operation.get_friendly_name()} computes with an array that is not in the file")
    return values


def _value(node: Graph) -> NDArray[np.float64] | None:
    kind = node.get_type_name()
    if kind == "Constant":
        values: NDArray[np.float64] = np.asarray(node.data, np.float64)
        return values
    if kind in _PASSED:
        return _value(node.input_value(0).get_node())
    if kind == "Multiply":
        one, other = (_value(node.input_value(place).get_node()) for place in (0, 1))
        return None if one is None or other is None else one * other
    return None


def _bias(operation: Graph) -> dict[str, NDArray[np.float64]]:
    added = _added(operation.output(0))
    return {} if added is None else {"bias": added}


def _added(output: Graph) -> NDArray[np.float64] | None:
    """Return the array that is added to an output, perhaps after a product with 1, if there is one."""
    for entry in output.get_target_inputs():
        node = entry.get_node()
        kind = node.get_type_name()
        if kind in {"Add", "Multiply"}:
            value = _value(node.input_value(1 - entry.get_index()).get_node())
            if value is not None and kind == "Add":
                return value.ravel()
            if value is not None and np.all(value == 1):
                return _added(node.output(0))
    return None


# --- in the network's order --------------------------------------------------------------------------------


def arrange(path: Path, arrays: Mapping[str, NDArray[np.float32]]) -> ForeignWeights:
    """Put the arrays of `arrays_in_graph` in the order of Keras' variables.

    Raises ConfigError where the layers are not a DenseNet's, with one linear layer as head.
    """
    layers: dict[str, dict[str, NDArray[np.float32]]] = {}
    for key, array in arrays.items():
        name, _, part = key.rpartition(".")
        layers.setdefault(name, {})[part] = array
    convolutions, norms, heads = (
        [parts for name, parts in layers.items() if name.endswith(f".{kind}")]
        for kind in (_CONVOLUTION, _NORM, _DENSE)
    )
    first = convolutions[0]["kernel"].shape[1] if convolutions else _CHANNELS[-1]
    channels = first if first in _CHANNELS else _CHANNELS[-1]
    architecture = nearest_to(len(convolutions))
    depth = DEPTHS[architecture]
    planned = list(plan(depth, channels))
    planned_norms = [layer for layer in planned if len(layer.shape) != KERNEL_AXES]
    apart = [layer for layer in planned_norms if not layer.keras.endswith(_AFTER_CONVOLUTION)]
    found = len(convolutions), len(norms), len(heads)
    if found not in {(len(planned) - len(planned_norms), len(own), 1) for own in (planned_norms, apart)}:
        raise ConfigError(
            f"{path}: is none of {NAMES} with one linear layer as head, or exported in a form that "
            f"cannot be read: it has {found[0]} convolutions, {found[1]} batch norms and {found[2]} linear "
            f"layers; {SAVE_STATE_DICT}"
        )
    merged = len(norms) == len(apart)
    arranged: list[NDArray[np.float32]] = []
    for layer in planned:
        if len(layer.shape) == KERNEL_AXES:
            parts = convolutions.pop(0)
            bias = parts.get("bias", np.zeros(1, np.float32))
            _require(path, depth, layer, parts["kernel"].transpose(2, 3, 1, 0).shape)
            arranged.append(np.ascontiguousarray(parts["kernel"].transpose(2, 3, 1, 0)))
        elif merged and layer not in apart:
            ones, zeros = np.ones(layer.shape, np.float32), np.zeros(layer.shape, np.float32)
            arranged += [ones, zeros + bias, zeros, ones * np.float32(1 - _EPSILON)]
        else:
            parts = norms.pop(0)
            _require(path, depth, layer, parts["gamma"].shape)
            arranged += [parts[part] for part in _NORM_PARTS]
    kernel = heads[0]["kernel"]
    if kernel.shape[0] != depth.features:
        raise ConfigError(f"{path}: its head is {kernel.shape}, {depth.name}'s has {depth.features} inputs")
    outputs = kernel.shape[1]
    arranged += [kernel, np.zeros(outputs, np.float32) + heads[0].get("bias", np.float32(0))]
    if not all(np.isfinite(array).all() for array in arranged):
        raise ConfigError(f"{path}: its arrays hold NaN or infinity; export an earlier checkpoint")
    return ForeignWeights(architecture, arranged, channels, outputs, module="")


def _require(path: Path, depth: Depth, layer: PlannedLayer, shape: tuple[int, ...]) -> None:
    if shape != layer.shape:
        raise ConfigError(f"{path}: its {layer.keras} is {shape}, {depth.name}'s is {layer.shape}")
