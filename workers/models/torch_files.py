"""Read PyTorch's DenseNet-121, as torchvision and torchxrayvision build it: .pth, .pt and .safetensors."""

import importlib
import math
import pickle
import re
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from config.errors import ConfigError
from workers.models.imported import ForeignWeights

_BLOCKS: Final = (6, 12, 24, 16)
_GROWTH: Final = 32
_BOTTLENECK: Final = 4 * _GROWTH
_STEM: Final = 64
_CHANNELS: Final = (1, 3)

_EPSILON_DIFFERENCE: Final = 1e-5 - 1.001e-5
"""PyTorch's epsilon of a batch norm less Keras': added to a variance, both divide by the same number."""

_FIRST: Final = "features.conv0.weight"
_HEAD_WEIGHT: Final = re.compile(r"classifier(\.\d+)*\.weight")
# Files of old torchvision, CheXNet's copies among them, name a dense layer's parts norm.1, conv.1 ...
_OLD_NAME: Final = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
_CONTAINERS: Final = ("state_dict", "model_state_dict", "model")
_FOREIGN_CLASS: Final = re.compile(r"GLOBAL (\S+)")
_PICKLE_HEAD: Final = b"\x80"
_ZIP_HEAD: Final = b"PK\x03\x04"

_State = dict[str, NDArray[Any]]


def read_torch(path: Path, *, trust_pickle: bool) -> ForeignWeights:
    """Read a DenseNet-121 that PyTorch saved: a state dict, a checkpoint that holds one, or a pickled module.

    Keys are torchvision's and torchxrayvision's, also with a prefix (`module.`, `densenet121.` ...), those of
    old torchvision (`norm.1`), and `classifier.0` for a head in a Sequential; the head is one linear layer.
    A pickled module runs code from the file as it is opened, and is opened with `trust_pickle` only. Names
    and thresholds are the module's own `pathologies` or `targets` and `op_threshs`; for a file that
    torchxrayvision publishes, which has none, they are those in that library's list of its files.

    Raises ConfigError for a file that is damaged, is another network or needs a package that is missing.
    """
    module = None
    if path.suffix.lower() == ".safetensors":
        state = _read_safetensors(path)
    else:
        state, module = _unpack(path, _load(path, trust_pickle=trust_pickle))
    state, stored = _own_keys(path, state)
    arrays = _convert(path, state)
    outputs = len(arrays[-1])
    facts = _facts(path, module) | stored
    return ForeignWeights(
        arrays=arrays,
        channels=arrays[0].shape[2],
        outputs=outputs,
        findings=_names(facts.get("findings"), outputs),
        thresholds=_thresholds(facts.get("op_threshs"), outputs),
    )


# --- files -------------------------------------------------------------------------------------------------


def _need(path: Path, package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"{path}: {package.partition('.')[0]} is needed to read it: pip install 'nightread[torch]'"
        ) from error


def _read_safetensors(path: Path) -> _State:
    _head(path)
    errors = _need(path, "safetensors").SafetensorError
    try:
        state: _State = _need(path, "safetensors.numpy").load_file(path)
    except (KeyError, TypeError) as error:  # of a number format, bfloat16 among them
        raise ConfigError(f"{path}: {_line(error)}; save its arrays as float32") from error
    except (errors, OSError, ValueError) as error:
        raise ConfigError(f"{path}: is not a whole .safetensors file: {_line(error)}") from error
    return state


def _load(path: Path, *, trust_pickle: bool) -> Any:
    """Open what torch.save wrote; code in the file runs only where its owner trusts it."""
    head = _head(path)
    if head == _ZIP_HEAD:
        if not zipfile.is_zipfile(path):
            raise ConfigError(f"{path}: its end is missing; copy or download it again")
    elif not head.startswith(_PICKLE_HEAD):
        raise ConfigError(f"{path}: is not a file that torch.save wrote")
    torch = _need(path, "torch")
    with warnings.catch_warnings():
        # Old files make torch warn. Importing torchxrayvision switches off every warning of the process,
        # which ends with this block.
        warnings.simplefilter("ignore")
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            if trust_pickle:
                return _unpickle(torch, path)
            foreign = _FOREIGN_CLASS.search(str(error))
            if foreign is None:
                raise _damaged(path, error) from error
            raise ConfigError(
                f"{path}: is a pickle of Python objects ({foreign[1]}), not of arrays alone; opening it runs "
                "code from the file. --trust-pickle does so: only for a file whose origin you trust"
            ) from error
        except Exception as error:
            if "TorchScript" in str(error):
                raise ConfigError(
                    f"{path}: is a TorchScript program; save the model's state_dict() instead"
                ) from error
            raise _damaged(path, error) from error


def _unpickle(torch: Any, path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except ModuleNotFoundError as error:
        package = (error.name or "a module").partition(".")[0]
        raise ConfigError(
            f"{path}: its pickled objects need {package}: pip install it beside nightread, or save the "
            "model's state_dict() where it is installed"
        ) from error
    except Exception as error:  # the file's own code can raise anything
        raise ConfigError(
            f"{path}: cannot be unpickled here: {_line(error)}; save the model's state_dict() "
            "where it was made"
        ) from error


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(_ZIP_HEAD))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def _unpack(path: Path, loaded: Any) -> tuple[_State, Any]:
    """Give the arrays by key, and the module where the file holds one."""
    torch = _need(path, "torch")
    for _ in _CONTAINERS:  # one may hold another
        if not isinstance(loaded, Mapping):
            break
        container = next((key for key in _CONTAINERS if key in loaded), None)
        if container is None:
            return _arrays(torch, loaded), None
        loaded = loaded[container]
    if not isinstance(loaded, torch.nn.Module):
        raise ConfigError(f"{path}: holds a {type(loaded).__name__}, neither a module nor a state dict")
    return _arrays(torch, loaded.state_dict()), getattr(loaded, "module", loaded)  # DataParallel's inner one


def _arrays(torch: Any, state: Mapping[Any, Any]) -> _State:
    return {
        str(key): value.detach().to("cpu", torch.float32).numpy()
        for key, value in state.items()
        if isinstance(value, torch.Tensor)
    }


def _damaged(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"{path}: cannot be read whole by torch.load: {_line(error)}")


def _line(error: Exception) -> str:
    """Give an error in one line; torch puts its advice to developers around the reason."""
    reason = str(error).rpartition("WeightsUnpickler error:")[2]
    return next((line.strip() for line in reason.splitlines() if line.strip()), type(error).__name__)


# --- arrays ------------------------------------------------------------------------------------------------


def _own_keys(path: Path, state: _State) -> tuple[_State, dict[str, Any]]:
    """Give the network's arrays under torchvision's present names, and what else is told among them."""
    first = next((key for key in state if key.endswith(_FIRST)), None)
    if first is None:
        raise ConfigError(
            f"{path}: is no DenseNet: {_FIRST} is not among its {len(state)} arrays"
            + (f", the first is {next(iter(state))}" if state else "")
        )
    prefix = first.removesuffix(_FIRST)
    own: _State = {}
    facts: dict[str, Any] = {}
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


def _convert(path: Path, state: _State) -> list[NDArray[np.float32]]:
    """Give the arrays in Keras' order and layout; ConfigError where they are not a DenseNet-121's."""
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


def _shapes(state: _State) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Give DenseNet-121's keys in the order of Keras' variables, with PyTorch's shapes.

    Channels and outputs are the state's own where they can be.
    """
    first, head = state[_FIRST], state.get("classifier.weight")
    channels = first.shape[1] if first.ndim > 1 and first.shape[1] in _CHANNELS else _CHANNELS[-1]
    outputs = max(1, head.shape[0]) if head is not None and head.ndim else 1
    yield _FIRST, (_STEM, channels, 7, 7)
    yield from _norm("features.norm0", _STEM)
    width = _STEM
    for block, depth in enumerate(_BLOCKS, start=1):
        for layer in range(1, depth + 1):
            at = f"features.denseblock{block}.denselayer{layer}."
            yield from _norm(at + "norm1", width)
            yield at + "conv1.weight", (_BOTTLENECK, width, 1, 1)
            yield from _norm(at + "norm2", _BOTTLENECK)
            yield at + "conv2.weight", (_GROWTH, _BOTTLENECK, 3, 3)
            width += _GROWTH
        if block < len(_BLOCKS):
            yield from _norm(f"features.transition{block}.norm", width)
            yield f"features.transition{block}.conv.weight", (width // 2, width, 1, 1)
            width //= 2
    yield from _norm("features.norm5", width)
    yield "classifier.weight", (outputs, width)
    yield "classifier.bias", (outputs,)


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (width,)


def _to_keras(name: str, array: NDArray[Any]) -> NDArray[np.float32]:
    if name.endswith(".running_var"):
        array = array.astype(np.float64) + _EPSILON_DIFFERENCE
    # (out, in, height, width) to (height, width, in, out); a linear layer's (out, in) to (in, out)
    turned = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T  # noqa: PLR2004  # a kernel's axes
    return np.ascontiguousarray(turned, dtype=np.float32)


# --- names and thresholds ----------------------------------------------------------------------------------


def _facts(path: Path, module: Any) -> dict[str, Any]:
    """Give what a module says of its outputs, else what its library says of the file it was published in."""
    if module is None:
        return {}
    # Not getattr: torchxrayvision's class has 18 names for every model, also for outputs never trained.
    own = vars(module)
    names = own.get("pathologies", own.get("targets"))
    if names is not None:
        return {"findings": names, "op_threshs": own.get("op_threshs")}
    published = getattr(sys.modules[type(module).__module__], "model_urls", {}).values()
    entry: dict[str, Any] = next(
        (one for one in published if Path(str(one.get("weights_url"))).name == path.name), {}
    )
    return {"findings": entry.get("labels"), "op_threshs": own.get("op_threshs", entry.get("op_threshs"))}


def _names(values: Any, outputs: int) -> tuple[str | None, ...] | None:
    """Give one name an output; names of another number belong to something else."""
    if values is None or len(values) != outputs:
        return None
    return tuple(str(value) if value else None for value in values)


def _thresholds(values: Any, outputs: int) -> tuple[float | None, ...] | None:
    if values is None or len(values) != outputs:
        return None
    # op_threshs is float32: of the many decimals of the same number, the shortest
    numbers = [float(str(np.float32(value))) for value in values]
    return tuple(None if math.isnan(number) else number for number in numbers)
