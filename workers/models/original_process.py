"""The process in which a brought model computes: bounded, without a network, and ended by its caller.

Started as `python -m workers.models.original_process SOURCE CONTAINER FOLDER`. FOLDER holds `inputs.npy`
(N, size, size, channels) float32; `outputs.npy` (N, outputs) and `layers.json` are written to it.
"""

import ctypes
import json
import resource
import shutil
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from workers.models.kinds import Kind, kind_of

_MEMORY_BYTES: Final = 8 * 2**30
_FILE_BYTES: Final = 2**30
_PROCESSOR_SECONDS: Final = 1200
_NEW_NETWORK: Final = 0x40000000  # CLONE_NEWNET of Linux' sched.h
_NEW_USER: Final = 0x10000000  # CLONE_NEWUSER
_FORBIDDEN: Final = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
                     "subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.fork")  # fmt: skip
_MATRIX_AXES: Final = 2

Module = Any
"""A module of torch's; it has no types here, as the extra may be missing."""


def main() -> None:
    """Bound this process, then run the model in it."""
    source, container, folder = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    bound()
    inputs = np.load(folder / "inputs.npy", allow_pickle=False)
    outputs, layers = scores_of(source, container, folder, inputs)
    np.save(folder / "outputs.npy", outputs)
    (folder / "layers.json").write_text(json.dumps(layers), encoding="utf-8")


def scores_of(
    source: Path, container: str, folder: Path, inputs: NDArray[np.float32]
) -> tuple[NDArray[np.float64], list[str]]:
    """Run a file's model, in this process and without bounds, on prepared pictures (N, size, size, channels).

    Returns its scores (N, outputs) and the names of its layers' classes. `folder` is for copies. Raises what
    the model's own code raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the file's own code; what it answers is what counts
        if kind_of(source) is Kind.KERAS:
            outputs, layers = _run_keras(source, folder, inputs)
        else:
            outputs, layers = _run_torch(source, container, inputs)
    return np.asarray(outputs, np.float64).reshape(len(inputs), -1), sorted(layers)


def bound() -> None:
    """Limit memory and processor time, and cut the network off.

    Linux gives the process an empty network where it may (as root, or with user namespaces). Everywhere,
    Python refuses connections and further processes; code of its own in C is stopped by the first alone.
    """
    _lower(resource.RLIMIT_DATA, _MEMORY_BYTES)
    _lower(resource.RLIMIT_CPU, _PROCESSOR_SECONDS)
    _lower(resource.RLIMIT_FSIZE, _FILE_BYTES)
    unshare = getattr(ctypes.CDLL(None, use_errno=True), "unshare", None)
    if unshare is not None and unshare(_NEW_NETWORK) != 0:
        unshare(_NEW_NETWORK | _NEW_USER)
    sys.addaudithook(_refuse)


def _lower(limit: int, wanted: int) -> None:
    _, hard = resource.getrlimit(limit)
    value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(limit, (value, value))


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in _FORBIDDEN:
        raise PermissionError(f"a model that is compared may not do this: {event} {arguments!r:.80}")


def _run_keras(source: Path, folder: Path, inputs: NDArray[np.float32]) -> tuple[object, set[str]]:
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


def _run_torch(source: Path, container: str, inputs: NDArray[np.float32]) -> tuple[object, set[str]]:
    import torch

    from workers.models.torch_pickles import contents_of

    loaded = contents_of(source, trust_pickle=True).modules[container]
    module: Module = getattr(loaded, "module", loaded)
    module = module.float().train(False)
    if getattr(module, "op_threshs", None) is not None:
        module.op_threshs = None  # torchxrayvision goes on to map its operating points to 0.5
    with torch.inference_mode():
        outputs = module(torch.from_numpy(np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))))
    return _scores(outputs).numpy(), {type(layer).__name__ for layer in module.modules()}


def _scores(outputs: Module) -> Module:
    """Return the first matrix that a model gives: some give several outputs, or name them."""
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    if isinstance(outputs, Sequence):
        outputs = next(output for output in outputs if output.ndim == _MATRIX_AXES)
    return outputs


if __name__ == "__main__":
    main()
