"""How a brought file computes, by the library that wrote it. Unbounded: see `original_process`."""

import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from workers.inference.openvino_import import import_openvino
from workers.models.kinds import Kind, kind_of
from workers.models.onnx_graphs import Graph, arrays_in_graph

_MATRIX_AXES: Final = 2
_CHANNELS: Final = (1, 3)

Module = Any
"""A module of torch's or Keras'; it has no types here, as the library may be missing."""

Pictures = NDArray[np.float32]
"""Prepared pictures, (N, size, size, channels)."""


def run(
    source: Path, container: str, folder: Path, inputs: Pictures
) -> tuple[NDArray[np.float64], list[str]]:
    """Run a file's model on prepared pictures.

    Returns its scores (N, outputs) and the names of its layers' classes. `container`: the path of keys to a
    pickled module. `folder` is for copies. Raises what the model's own code raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the file's own code; what it answers is what counts
        match kind_of(source):
            case Kind.KERAS:
                outputs, layers = _run_keras(source, folder, inputs)
            case Kind.TORCHSCRIPT:
                outputs, layers = _run_torchscript(source, inputs)
            case Kind.EXPORTED:
                outputs, layers = _run_exported(source, inputs)
            case Kind.SAVED_MODEL:
                outputs, layers = _run_saved_model(source, inputs)
            case Kind.ONNX:
                outputs, layers = _run_onnx(source, inputs)
            case _:
                outputs, layers = _run_module(source, container, inputs)
    return np.asarray(outputs, np.float64).reshape(len(inputs), -1), sorted(layers)


def arrays_in(source: Path) -> dict[str, NDArray[np.float32]]:
    """Return a program's arrays by their keys, of ONNX as `onnx_graphs` names them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind = kind_of(source)
        if kind is Kind.ONNX:
            return arrays_in_graph(_graph(source))
        if kind is Kind.SAVED_MODEL:
            return _saved_variables(source.parent)
        import torch

        program: Module = _script(source) if kind is Kind.TORCHSCRIPT else torch.export.load(source)
        state = program.state_dict() if kind is Kind.TORCHSCRIPT else program.state_dict
        return {key: array.detach().float().numpy() for key, array in state.items()}


# --- Keras -------------------------------------------------------------------------------------------------


def _run_keras(source: Path, folder: Path, inputs: Pictures) -> tuple[object, set[str]]:
    import keras

    # Keras tells the format by the ending.
    with source.open("rb") as file:
        ending = "keras" if file.read(2) == b"PK" else "h5"
    copied = folder / f"original.{ending}"
    shutil.copyfile(source, copied)
    model = keras.models.load_model(copied, compile=False, safe_mode=True)
    outputs = model(inputs, training=False)
    return np.asarray(_scores(outputs)), {type(layer).__name__ for layer in _flat(model)}


def _flat(model: Module) -> list[Module]:
    """Return the layers of a Keras model and of those inside it."""
    return [
        deeper for layer in model.layers for deeper in (_flat(layer) if hasattr(layer, "layers") else [layer])
    ]


# --- TensorFlow ---------------------------------------------------------------------------------------------


def _saved_variables(folder: Path) -> dict[str, NDArray[np.float32]]:
    """Return a SavedModel's variables by the names of their layers, without an optimizer's."""
    import tensorflow as tf
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    stored = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    graph = TrackableObjectGraph()
    graph.ParseFromString(stored.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    keys = {
        attribute.full_name: attribute.checkpoint_key
        for node in graph.nodes
        for attribute in node.attributes
        if attribute.full_name and not attribute.checkpoint_key.startswith("optimizer")
    }
    return {name: np.asarray(stored.get_tensor(key), np.float32) for name, key in keys.items()}


def _run_saved_model(source: Path, inputs: Pictures) -> tuple[object, set[str]]:
    import tensorflow as tf
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    signature = tf.saved_model.load(str(source.parent)).signatures["serving_default"]
    [entry] = signature.structured_input_signature[1]
    outputs = [_scores(signature(**{entry: tf.constant(picture[None])})) for picture in inputs]
    graph = SavedModel()
    graph.ParseFromString(source.read_bytes())
    functions = (function for meta in graph.meta_graphs for function in meta.graph_def.library.function)
    return np.concatenate(outputs), {node.op for function in functions for node in function.node_def}


# --- torch -------------------------------------------------------------------------------------------------


def _run_module(source: Path, container: str, inputs: Pictures) -> tuple[object, set[str]]:
    import torch

    from workers.models.torch_pickles import contents_of

    loaded: Module = contents_of(source, trust_pickle=True).modules[container]
    module: Module = getattr(loaded, "module", loaded)
    module = module.float().train(False)
    if getattr(module, "op_threshs", None) is not None:
        module.op_threshs = None  # torchxrayvision goes on to map its operating points to 0.5
    with torch.inference_mode():
        outputs = module(torch.from_numpy(_channels_first(inputs)))
    return _scores(outputs).numpy(), {type(layer).__name__ for layer in module.modules()}


def _script(source: Path) -> Module:
    import torch

    return torch.jit.load(source, map_location="cpu")


def _run_torchscript(source: Path, inputs: Pictures) -> tuple[object, set[str]]:
    program = _script(source).float().train(False)
    layers = {layer.original_name for layer in program.modules()}
    return _one_by_one(program, inputs), layers


def _run_exported(source: Path, inputs: Pictures) -> tuple[object, set[str]]:
    import torch

    exported = torch.export.load(source)
    # Of each operation, the modules that it came from: the path and the class of each.
    stacks: Iterable[Mapping[str, tuple[str, object]]] = (
        node.meta.get("nn_module_stack") or {} for node in exported.graph.nodes
    )
    layers = {
        str(getattr(kind, "__name__", kind)).rpartition(".")[2]
        for stack in stacks
        for _, kind in stack.values()
    }
    return _one_by_one(exported.module(), inputs), layers


def _one_by_one(program: Callable[[Module], Module], inputs: Pictures) -> NDArray[np.float32]:
    """Run a program of torch's on a picture at a time: it may have been traced for one."""
    import torch

    pictures = torch.from_numpy(_channels_first(inputs)).split(1)
    with torch.inference_mode():
        outputs = torch.cat([_scores(program(picture)) for picture in pictures])
    found: NDArray[np.float32] = outputs.numpy()
    return found


def _channels_first(inputs: Pictures) -> NDArray[np.float32]:
    return np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))


# --- ONNX --------------------------------------------------------------------------------------------------


def _graph(source: Path) -> Graph:
    return import_openvino().Core().read_model(source)


def _run_onnx(source: Path, inputs: Pictures) -> tuple[object, set[str]]:
    ov = import_openvino()
    graph = _graph(source)
    [entry] = graph.inputs
    _, second, *_ = entry.get_partial_shape()
    first = second.is_static and second.get_length() in _CHANNELS
    compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    pictures = _channels_first(inputs) if first else inputs
    outputs = [_scores(list(compiled(picture[None]).values())) for picture in pictures]
    return np.concatenate(outputs), {operation.get_type_name() for operation in graph.get_ordered_ops()}


def _scores(outputs: Module) -> Module:
    """Return the first matrix that a model gives: some give several outputs, or name them."""
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    if isinstance(outputs, Sequence):
        outputs = next(output for output in outputs if output.ndim == _MATRIX_AXES)
    return outputs
