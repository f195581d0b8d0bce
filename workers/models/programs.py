"""Read files that hold a program beside their arrays: both are for the bounded process alone."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.errors import ConfigError
from workers.models import keras_files
from workers.models.advice import OPENVINO_MISSING, SAVE_KERAS
from workers.models.bounded import OriginalError, arrays_of
from workers.models.foreign_weights import ForeignWeights
from workers.models.keras_layers import named_layers
from workers.models.kinds import Kind
from workers.models.onnx_graphs import arrange
from workers.models.torch_files import foreign_weights
from workers.models.torch_pickles import Contents, need

_SAVE: Final = 'save its arrays, in Python: `import torch; torch.save({}, "weights.pth")`'
# What they are called, and how their arrays are saved by themselves.
_TO_TRUST: Final = {
    Kind.TORCHSCRIPT: ("a TorchScript program", _SAVE.format('torch.jit.load("...").state_dict()')),
    Kind.EXPORTED: ("a program of torch.export", _SAVE.format('dict(torch.export.load("...").state_dict)')),
    Kind.SAVED_MODEL: ("a SavedModel, a program of TensorFlow's", SAVE_KERAS),
}

PROGRAMS: Final = (*_TO_TRUST, Kind.ONNX)


def read_program(path: Path, kind: Kind, weights_key: str | None, *, trusted: bool) -> ForeignWeights:
    """Read a DenseNet out of a program: `module` is "", as the file computes.

    ONNX only computes; the others can read and write files, too, and are opened only where they are
    `trusted`. Raises ConfigError where one is not, where a package is missing, and where the file cannot be
    opened or is another network.
    """
    if weights_key is not None and kind in {Kind.ONNX, Kind.SAVED_MODEL}:
        raise ConfigError(f"{path}: --weights-key is for PyTorch's files; this is one graph")
    if kind is Kind.ONNX:
        if find_spec("openvino") is None:
            raise ConfigError(f"{path}: is an ONNX graph; openvino is needed to read it; {OPENVINO_MISSING}")
        return arrange(path, _arrays(path))
    what, saved = _TO_TRUST[kind]
    if not trusted:
        raise ConfigError(
            f"{path}: is {what}; opening it runs code from the file. --trust-pickle does so, in a bounded "
            f"process: only for a file whose origin you trust; otherwise {saved}"
        )
    if kind is Kind.SAVED_MODEL:
        return _saved_model(path)
    need(path, "torch")
    return foreign_weights(path, Contents({"": {**_arrays(path)}}, {"": None}), weights_key)


def _saved_model(path: Path) -> ForeignWeights:
    layers = named_layers(_arrays(path))
    try:
        return replace(keras_files.arrange(layers), module="")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    try:
        return arrays_of(path)
    except OriginalError as error:
        raise ConfigError(f"{path}: cannot be opened here: {error}") from error
