"""Read PyTorch's DenseNet-121, as torchvision and torchxrayvision build it: .pth, .pt and .safetensors."""

import importlib
import math
import pickle
import pickletools
import re
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np

from config.errors import ConfigError
from workers.models.foreign_weights import ForeignWeights
from workers.models.torch_keys import Facts, State, convert, own_keys

_CONTAINERS: Final = ("state_dict", "model_state_dict", "model")
_PROGRAM: Final = "constants.pkl"  # what TorchScript keeps beside the arrays, and torch.save does not
_PICKLES: Final = 4  # a magic number, a version, the machine, and what was saved
_OF_ARRAYS: Final = re.compile(r"torch\._utils\..*|torch\.\w*Storage|collections\.OrderedDict")
_PICKLE_HEAD: Final = b"\x80"
_ZIP_HEAD: Final = b"PK\x03\x04"


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
    state, stored = own_keys(path, state)
    arrays = convert(path, state)
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


def _need(path: Path, package: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"{path}: {package.partition('.')[0]} is needed to read it: pip install 'nightread[torch]'"
        ) from error


def _read_safetensors(path: Path) -> State:
    _head(path)
    errors = _need(path, "safetensors").SafetensorError
    try:
        state: State = _need(path, "safetensors.numpy").load_file(path)
    except (KeyError, TypeError) as error:  # for a number format, bfloat16 among them
        raise ConfigError(f"{path}: {_line(error)}; save its arrays as float32") from error
    except (errors, OSError, ValueError) as error:
        raise ConfigError(f"{path}: is not a whole .safetensors file: {_line(error)}") from error
    return state


def _load(path: Path, *, trust_pickle: bool) -> object:
    """Open what torch.save wrote; code in the file runs only where its owner trusts it."""
    head = _head(path)
    if head == _ZIP_HEAD:
        _require_arrays(path)
    elif not head.startswith(_PICKLE_HEAD):
        raise ConfigError(f"{path}: is not a file that torch.save wrote")
    torch = _need(path, "torch")
    with warnings.catch_warnings():
        # Old files make torch warn. Importing torchxrayvision switches off every warning of the process; this
        # block undoes that at its end.
        warnings.simplefilter("ignore")
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            if trust_pickle:
                return _unpickle(torch, path)
            foreign = _foreign_classes(torch, path, zipped=head == _ZIP_HEAD)
            if not foreign:
                raise _damaged(path, error) from error
            raise ConfigError(
                f"{path}: is a pickle of Python objects ({foreign[0]}), not of arrays alone; opening it runs "
                "code from the file. --trust-pickle does so: only for a file whose origin you trust"
            ) from error
        except Exception as error:
            raise _damaged(path, error) from error


def _require_arrays(path: Path) -> None:
    """Raise ConfigError for a zip that is cut, or that holds a program."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise ConfigError(f"{path}: its end is missing; copy or download it again") from error
    if any(name.rpartition("/")[2] == _PROGRAM for name in names):
        raise ConfigError(f"{path}: is a TorchScript program; save the model's state_dict() instead")


def _foreign_classes(torch: ModuleType, path: Path, *, zipped: bool) -> list[str]:
    """Name the classes in a pickle that are not of arrays; none where it cannot even be scanned."""
    try:
        in_zip = torch.serialization.get_unsafe_globals_in_checkpoint
        named = set(in_zip(path) if zipped else _globals_in_pickles(path))
        # torch's own classes last: whose model it is says more than that it is made of layers.
        return sorted(named, key=lambda name: (name.startswith("torch."), name))
    except Exception:  # noqa: BLE001  # a damaged pickle can make its reader raise anything
        return []


def _globals_in_pickles(path: Path) -> Iterator[str]:
    """Name the classes in an old file: several pickles, the last of which is what was saved."""
    with path.open("rb") as file:
        for _ in range(_PICKLES):
            for opcode, argument, _ in pickletools.genops(file):
                name = str(argument).replace(" ", ".")
                if opcode.name == "GLOBAL" and not _OF_ARRAYS.fullmatch(name):
                    yield name


def _unpickle(torch: ModuleType, path: Path) -> object:
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


def _unpack(path: Path, loaded: object) -> tuple[State, object | None]:
    """Return the arrays by key, and the module where the file holds one."""
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


def _arrays(torch: ModuleType, state: Mapping[object, object]) -> State:
    return {
        str(key): value.detach().to("cpu", torch.float32).numpy()
        for key, value in state.items()
        if isinstance(value, torch.Tensor)
    }


def _damaged(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"{path}: cannot be read whole by torch.load: {_line(error)}")


def _line(error: Exception) -> str:
    """Return an error in one line; torch puts its advice to developers around the reason."""
    reason = str(error).rpartition("WeightsUnpickler error:")[2]
    return next((line.strip() for line in reason.splitlines() if line.strip()), type(error).__name__)


# --- names and thresholds ----------------------------------------------------------------------------------


def _facts(path: Path, module: object | None) -> Facts:
    """Return what a module says about its outputs, else what its library says about its published file."""
    if module is None:
        return {}
    # Not getattr: torchxrayvision's class has 18 names for every model, also for outputs never trained.
    own = vars(module)
    names = own.get("pathologies", own.get("targets"))
    if names is not None:
        return {"findings": names, "op_threshs": own.get("op_threshs")}
    published = getattr(sys.modules[type(module).__module__], "model_urls", {}).values()
    entry: Facts = next(
        (file for file in published if Path(str(file.get("weights_url"))).name == path.name), {}
    )
    return {"findings": entry.get("labels"), "op_threshs": own.get("op_threshs", entry.get("op_threshs"))}


def _names(values: Sequence[object] | None, outputs: int) -> tuple[str | None, ...] | None:
    """Return one name per output; if their number differs, the names belong to something else."""
    if values is None or len(values) != outputs:
        return None
    return tuple(str(value) if value else None for value in values)


def _thresholds(values: Sequence[float] | None, outputs: int) -> tuple[float | None, ...] | None:
    if values is None or len(values) != outputs:
        return None
    # op_threshs is float32: of the many decimals of the same number, the shortest
    numbers = [float(str(np.float32(value))) for value in values]
    return tuple(None if math.isnan(number) else number for number in numbers)
