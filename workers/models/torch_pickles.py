"""Open what torch.save wrote, without running what is in it unless its owner trusts it."""

import importlib
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Final

from config.errors import ConfigError
from workers.models.advice import SAVE_STATE_DICT, TORCH_MISSING
from workers.models.torch_names import State

_PICKLES: Final = 4  # a magic number, a version, the machine, and what was saved
_OF_ARRAYS: Final = re.compile(r"torch\._utils\..*|torch\.\w*Storage|collections\.OrderedDict")
_PICKLE_HEAD: Final = b"\x80"
_ZIP_HEAD: Final = b"PK\x03\x04"
_DEEPEST: Final = 8
_MOST_NAMED: Final = 12


class Inert(dict[object, object]):
    """Stands for an object of any class that a file names: it keeps its items and does nothing.

    A checkpoint's arguments (a Namespace), NumPy's numbers and paths become one, and none of their code runs.
    """

    is_module = False

    def __init__(self, *_arguments: object, **_named: object) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        self.is_module = isinstance(state, Mapping) and "_modules" in state

    # A dict has no hash, but what this stands for may be a dict's key.
    __hash__ = object.__hash__  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Contents:
    """A file's arrays by state dict, each by the path of keys that leads to it, "" for the file itself.

    `modules`: the modules that state dicts were taken of, by the same paths; None for a program's. `closed`:
    paths of modules that were not opened, as that would run code.
    """

    containers: dict[str, State] = field(default_factory=dict)
    modules: dict[str, object] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)


def need(path: Path, package: str) -> ModuleType:
    """Import a package of the extra `torch`; ConfigError says how to install it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"{path}: {package.partition('.')[0]} is needed to read it; {TORCH_MISSING}"
        ) from error


def contents_of(path: Path, *, trust_pickle: bool) -> Contents:
    """Return the arrays of a file of torch.save's. A pickled module is opened with `trust_pickle` only.

    Objects of any other class become `Inert`, whether trusted or not: a checkpoint that keeps its arguments
    beside the arrays needs no trust. Raises ConfigError for a file that is damaged or holds no arrays.
    """
    zipped = _head(path) == _ZIP_HEAD
    if zipped:
        _require_whole(path)
    elif not _head(path).startswith(_PICKLE_HEAD):
        raise ConfigError(f"{path}: is not a file that torch.save wrote")
    torch = need(path, "torch")
    with warnings.catch_warnings():
        # Old files make torch warn. Importing torchxrayvision switches off every warning of the process; this
        # block undoes that at its end.
        warnings.simplefilter("ignore")
        foreign = _foreign_classes(torch, path, zipped=zipped)
        try:
            loaded = _load_inert(torch, path, foreign)
        except pickle.UnpicklingError as error:
            if not foreign:
                raise _damaged(path, error) from error
            loaded = Inert()
            loaded.is_module = True  # at any rate something that only its own code can open
        except Exception as error:
            raise _damaged(path, error) from error
        found = _walked(torch, loaded)
        if found.closed and trust_pickle:
            loaded = _unpickle(torch, path)
            found = _walked(torch, loaded)
    if found.closed and not found.containers:
        raise pickled(path, foreign)
    if not found.containers:
        raise ConfigError(
            f"{path}: holds {_described(loaded)}, neither a module nor a state dict; {SAVE_STATE_DICT}"
        )
    return found


def pickled(path: Path, foreign: list[str]) -> ConfigError:
    """Say that a file holds a module, which only its own code can open."""
    return ConfigError(
        f"{path}: is a pickle of Python objects ({', '.join(foreign[:1])}), not of arrays alone; opening it "
        "runs code from the file. --trust-pickle does so: only for a file whose origin you trust; otherwise "
        f"{SAVE_STATE_DICT}"
    )


def _described(loaded: object) -> str:
    if not isinstance(loaded, Mapping):
        return f"a {type(loaded).__name__}"
    items = [f"{key} (a {type(value).__name__})" for key, value in islice(loaded.items(), _MOST_NAMED)]
    return ", ".join(items) or "nothing"


def _load_inert(torch: ModuleType, path: Path, foreign: list[str]) -> object:
    with torch.serialization.safe_globals([(Inert, name) for name in foreign]):
        loaded: object = torch.load(path, map_location="cpu", weights_only=True)
    return loaded


def _walked(torch: ModuleType, loaded: object) -> Contents:
    found = Contents()
    _walk(torch, loaded, "", 0, found)
    return found


def _walk(torch: ModuleType, value: object, path: str, depth: int, found: Contents) -> None:
    if isinstance(value, Inert) and value.is_module:
        found.closed.append(path)
    elif isinstance(value, torch.nn.Module):
        found.containers[path] = _arrays(torch, value.state_dict())
        found.modules[path] = value
    elif isinstance(value, Mapping) and depth < _DEEPEST:
        arrays = _arrays(torch, value)
        if arrays:
            found.containers[path] = arrays
        for key, inner in value.items():
            _walk(torch, inner, f"{path}.{key}" if path else str(key), depth + 1, found)


def _arrays(torch: ModuleType, state: Mapping[object, object]) -> State:
    return {
        str(key): value.detach().to("cpu", torch.float32).numpy()
        for key, value in state.items()
        if isinstance(value, torch.Tensor) and value.layout == torch.strided
    }


def _require_whole(path: Path) -> None:
    """Raise ConfigError for a zip that is cut."""
    try:
        zipfile.ZipFile(path).close()
    except zipfile.BadZipFile as error:
        raise ConfigError(f"{path}: its end is missing; copy or download it again") from error


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
            f"{path}: cannot be unpickled here: {line_of(error)}; save the model's state_dict() "
            "where it was made"
        ) from error


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(_ZIP_HEAD))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def _damaged(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"{path}: cannot be read whole by torch.load: {line_of(error)}")


def line_of(error: Exception) -> str:
    """Return an error in one line; torch puts its advice to developers around the reason."""
    reason = str(error).rpartition("WeightsUnpickler error:")[2]
    return next((line.strip() for line in reason.splitlines() if line.strip()), type(error).__name__)
