"""Load a model's weights into a network that was built in code, after their hash was checked."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.cards import Model
from config.errors import ConfigError
from workers.inference.densenet import seeded_weights


def file_sha256(path: Path) -> str:
    """Give the hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def arrays_sha256(arrays: list[NDArray[np.float32]]) -> str:
    """Give the hex SHA-256 of arrays' bytes, little endian, one after the other."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return digest.hexdigest()


def load_weights(network: Any, model: Model) -> None:
    """Fill a network of the card's architecture; ConfigError where hash, number or shapes do not fit."""
    card = model.card
    if model.weights_file is None:
        arrays = seeded_weights(network, card.seed or 0)
        _compare(card.name, "its seeded weights", arrays_sha256(arrays), card.sha256)
        network.set_weights(arrays)
        return
    try:
        found = file_sha256(model.weights_file)
    except OSError as error:
        raise ConfigError(f"model {card.name}: {model.weights_file}: {error.strerror}") from error
    _compare(card.name, model.weights_file.name, found, card.sha256)
    with np.load(model.weights_file, allow_pickle=False) as stored:
        arrays = [stored[name].astype(np.float32) for name in sorted(stored.files)]
    expected = [tuple(variable.shape) for variable in network.weights]
    if [array.shape for array in arrays] != expected:
        raise ConfigError(
            f"model {card.name}: {model.weights_file.name} holds {len(arrays)} arrays of other shapes than "
            f"the {len(expected)} of {card.architecture} with {len(card.findings)} findings"
        )
    network.set_weights(arrays)


def save_weights(network: Any, path: Path) -> str:
    """Write a network's weights as an `.npz` in the network's own order; returns the file's SHA-256."""
    np.savez(path, **{f"w{index:04d}": array for index, array in enumerate(network.get_weights())})
    return file_sha256(path)


def _compare(name: str, what: str, found: str, expected: str) -> None:
    if found != expected:
        raise ConfigError(
            f"model {name}: the SHA-256 of {what} is {found}, the card says {expected}; "
            "this is another model than the card describes, and it is not used"
        )
