"""Read PyTorch's DenseNets in the wrappings that projects save it in: .pth, .pt and .safetensors."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from config.errors import ConfigError
from workers.models.foreign_weights import ForeignWeights
from workers.models.torch_keys import Facts, convert
from workers.models.torch_names import State
from workers.models.torch_pickles import Contents, contents_of, line_of, need
from workers.models.trees import Found, find_network


def read_torch(path: Path, *, trust_pickle: bool, weights_key: str | None = None) -> ForeignWeights:
    """Read a DenseNet that PyTorch saved: a state dict, a checkpoint that holds one, or a pickled module.

    Its keys are torchvision's, old or new, MONAI's or those of a Sequential, below any path of keys; its head
    is one linear layer. Of several networks `weights_key` chooses one: see `trees.find_network`. A pickled
    module runs code from the file as it is opened, and is opened with `trust_pickle` only. Names and
    thresholds are the module's own `pathologies` or `targets` and `op_threshs`; for a file that
    torchxrayvision publishes, which has none, they are those in that library's list of its files.

    Raises ConfigError for a file that is damaged, is another network or needs a package that is missing.
    """
    if path.suffix.lower() == ".safetensors":
        contents = Contents({"": _read_safetensors(path)})
    else:
        contents = contents_of(path, trust_pickle=trust_pickle)
    return foreign_weights(path, contents, weights_key)


def foreign_weights(path: Path, contents: Contents, weights_key: str | None) -> ForeignWeights:
    """Return the one network among a file's arrays, or the one that `weights_key` chooses.

    Raises ConfigError where there is none, or more than one.
    """
    found = find_network(path, contents.containers, weights_key)
    arrays = convert(path, found.network)
    outputs = len(arrays[-1])
    container = found.network.container
    module = contents.modules.get(container)
    facts = _facts(path, getattr(module, "module", module)) | _stored(found)  # DataParallel's inner one
    return ForeignWeights(
        architecture=found.network.architecture,
        arrays=arrays,
        channels=arrays[0].shape[2],
        outputs=outputs,
        findings=_names(facts.get("findings"), outputs),
        thresholds=_thresholds(facts.get("op_threshs"), outputs),
        unused=found.left,
        module=container if container in contents.modules else None,
        final_relu_unsaid=found.network.trunk.rpartition(".")[2] != "features",
    )


def _read_safetensors(path: Path) -> State:
    errors = need(path, "safetensors").SafetensorError
    try:
        state: State = need(path, "safetensors.numpy").load_file(path)
    except (KeyError, TypeError) as error:  # for a number format, bfloat16 among them
        raise ConfigError(f"{path}: {line_of(error)}; save its arrays as float32") from error
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (errors, OSError, ValueError) as error:
        raise ConfigError(f"{path}: is not a whole .safetensors file: {line_of(error)}") from error
    return state


def _stored(found: Found) -> Facts:
    """Return the operating points that torchxrayvision keeps among a network's arrays."""
    scope = found.network.trunk.removesuffix("features")
    points = found.network.state.get(f"{scope}op_threshs")
    return {} if points is None else {"op_threshs": points}


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
