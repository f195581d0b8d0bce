"""Load a model's weights into a network built in code, after their hash was checked."""

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.cards.classification import ClassificationCard
from config.cards.model import Classifier, Segmenter, weights_file
from config.cards.segmentation import SegmentationCard
from config.errors import ConfigError
from workers.inference.networks.network import KerasModel, network_of

_OUTPUTS: Final = "outputs"


def file_sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def arrays_sha256(arrays: list[NDArray[np.float32]]) -> str:
    """Return the hex SHA-256 of arrays' bytes, little endian, one after the other."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return digest.hexdigest()


def load_weights(network: KerasModel, model: Classifier | Segmenter) -> None:
    """Fill a network of the card's architecture; ConfigError where hash, number or shapes do not fit."""
    card = model.card
    path = require_weights(model)
    if path is None:
        arrays = network_of(card).seeded_weights(network, card.seed or 0)
        _compare(card.name, "its seeded weights", arrays_sha256(arrays), card.sha256)
        network.set_weights(arrays)
        return
    arrays, outputs = read_arrays(card.name, path)
    for index, (stored, finding) in enumerate(zip(outputs, card.outputs, strict=False), start=1):
        if stored != finding:
            raise ConfigError(
                f"model {card.name}: output {index} of {path.name} is {stored}, the card's "
                f"finding {index} is {finding}; the card must name the outputs in their order"
            )
    fill(network, arrays, card, path.name)


def require_weights(model: Classifier | Segmenter) -> Path | None:
    """Return the file of a model's weights, None if a seed makes them; ConfigError if its hash is another."""
    card = model.card
    path = weights_file(model)
    if path is None:
        return None
    try:
        found = file_sha256(path)
    except OSError as error:
        raise ConfigError(f"model {card.name}: {path}: {error.strerror}") from error
    _compare(card.name, path.name, found, card.sha256)
    return path


def fill(
    network: KerasModel,
    arrays: list[NDArray[np.float32]],
    card: ClassificationCard | SegmentationCard,
    what: str,
) -> None:
    """Put arrays in the network's own order into it; ConfigError names the first that does not fit."""
    _compare_shapes(network, card, what, [array.shape for array in arrays])
    network.set_weights(arrays)


def save_weights(
    network: KerasModel, path: Path, *, outputs: tuple[str, ...] = (), half: bool = False
) -> str:
    """Write a network's weights as an `.npz` in the network's own order; returns the file's SHA-256.

    With them go the names of the outputs, so that a card cannot name them in another order. `half` writes
    float16, half the size; they are read as float32 again.
    """
    kind = np.float16 if half else np.float32
    arrays = {f"w{index:04d}": array.astype(kind) for index, array in enumerate(network.get_weights())}
    names = {_OUTPUTS: np.array(outputs, dtype=np.str_)} if outputs else {}
    np.savez(path, allow_pickle=False, **arrays, **names)
    return file_sha256(path)


def read_arrays(name: str, path: Path) -> tuple[list[NDArray[np.float32]], tuple[str, ...]]:
    """Read an `.npz` in the order of its names, and the outputs' names where it has them.

    Its hash was right: an error here was already in the saved file.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            outputs = tuple(stored[_OUTPUTS].tolist()) if _OUTPUTS in stored.files else ()
            keys = sorted(set(stored.files) - {_OUTPUTS})
            return [stored[key].astype(np.float32) for key in keys], outputs
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigError(f"model {name}: {path.name} is not a whole .npz of arrays: {error}") from error


def _compare_shapes(
    network: KerasModel,
    card: ClassificationCard | SegmentationCard,
    what: str,
    found: list[tuple[int, ...]],
) -> None:
    variables = network.weights
    what = f"model {card.name}: {what}"
    built = f"{card.architecture} with {len(card.outputs)} outputs"
    for index, (shape, variable) in enumerate(zip(found, variables, strict=False)):
        expected = tuple(variable.shape)
        if shape != expected:
            raise ConfigError(
                f"{what}: its array {index} is {shape}, but {variable.path} of {built} is {expected}"
            )
    if len(found) != len(variables):
        raise ConfigError(f"{what} holds {len(found)} arrays, {built} has {len(variables)}")


def _compare(name: str, what: str, found: str, expected: str) -> None:
    if found != expected:
        raise ConfigError(
            f"model {name}: the SHA-256 of {what} is {found}, the card says {expected}; "
            "this is another model than the card describes, and it is not used"
        )
