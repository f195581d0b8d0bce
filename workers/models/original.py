"""Compare an imported network with the original, where the file it came in can compute."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from config.cards.classification import ClassificationCard
from config.errors import ConfigError
from workers.inference.networks.network import KerasModel, probabilities_of, with_other_relu
from workers.inference.pixels import prepare, test_pictures
from workers.models.bounded import scores_of

TOLERANCE: Final = 1e-4
"""Of a probability: the same network in two libraries differs by less than a tenth of it."""

HALF_TOLERANCE: Final = 5e-3
"""The same where the weights were rounded to float16."""

_SAME: Final = 1e-6
_SUM_ERROR: Final = 1e-3
# Layers that no DenseNet with a linear head has, and that change its scores.
_TELLING: Final = frozenset(
    {
        "GlobalMaxPooling2D", "AdaptiveMaxPool2d", "AdaptiveConcatPool2d", "Softmax", "Rescaling",
        "Normalization", "LayerNormalization", "LayerNorm", "Lambda", "Attention", "MultiHeadAttention",
        "MultiheadAttention", "Max",
    }
)  # fmt: skip
_PREPARING: Final = frozenset({"Rescaling", "Normalization"})


@dataclass(frozen=True, slots=True)
class Original:
    """A file that can compute.

    `container`: the path of keys to its module. `kept`: the places of the outputs that have a name.
    """

    path: Path
    container: str
    kept: tuple[int, ...]


def computes(path: Path) -> bool:
    """Return whether a file of Keras' holds the whole model, and not its weights alone."""
    if zipfile.is_zipfile(path):
        return True
    with h5py.File(path, "r") as file:
        return "model_config" in file.attrs


def answers(network: KerasModel, card: ClassificationCard) -> NDArray[np.float64]:
    """Return a filled network's probabilities for the test pictures: (pictures, findings).

    Raises ConfigError where they are the same for every picture, or no numbers.
    """
    probabilities = probabilities_of(network, _inputs(card))
    if not np.isfinite(probabilities).all():
        raise ConfigError(
            "with these weights the network answers NaN or infinity; take an earlier checkpoint"
        )
    if np.ptp(probabilities, axis=0).max() < _SAME:
        raise ConfigError(
            "with these weights the network answers the same to three different pictures; they are zeros, or "
            "not those of a trained network, or the pixels are not prepared as it was trained with"
        )
    return probabilities


def compare(original: Original, network: KerasModel, card: ClassificationCard, tolerance: float) -> float:
    """Return the largest difference of probabilities from the original's, over the test pictures.

    The original runs in a process of its own, with limits and without a network. Raises ConfigError over the
    tolerance, which says what differs where that shows; OriginalError where the original does not run here.
    """
    theirs, layers = scores_of(original.path, original.container, _inputs(card))
    ours = answers(network, card)
    if theirs.shape[1] <= max(original.kept):
        raise ConfigError(
            f"the original gives {theirs.shape[1]} scores, its head has more; it computes another thing"
        )
    difference = _difference(theirs, ours, original.kept)
    if difference <= tolerance:
        return difference
    raise ConfigError(
        f"the network that was read differs from the original by {difference:.2g} in probability: "
        f"{_reason(original, network, card, theirs, layers, tolerance)}"
    )


def _inputs(card: ClassificationCard) -> NDArray[np.float32]:
    return np.stack([prepare(picture, card.pixels) for picture in test_pictures(card.pixels.size)])


def _difference(theirs: NDArray[np.float64], ours: NDArray[np.float64], kept: tuple[int, ...]) -> float:
    """Return how far the original's probabilities, or those of its logits, are from ours."""
    own = theirs[:, list(kept)]
    return float(min(np.abs(own - ours).max(), np.abs(expit(own) - ours).max()))


def _reason(
    original: Original,
    network: KerasModel,
    card: ClassificationCard,
    theirs: NDArray[np.float64],
    layers: list[str],
    tolerance: float,
) -> str:
    turned, other = with_other_relu(network, card)
    if _difference(theirs, answers(turned, other), original.kept) <= tolerance:
        return (
            "it has a ReLU after its last batch norm; add --final-relu"
            if other.final_relu
            else "it has no ReLU after its last batch norm; add --no-final-relu"
        )
    reasons = []
    if theirs.shape[1] > 1 and np.abs(theirs.sum(axis=1) - 1).max() < _SUM_ERROR:
        reasons.append("its scores sum to 1, as those of a softmax; Nightread gives each finding a sigmoid")
    telling = sorted(_TELLING & set(layers))
    if telling:
        reasons.append(f"it has {', '.join(telling)}, which Nightread's network has not")
    if _PREPARING & set(telling):
        reasons.append(
            "save the model without what prepares its pixels, and say that with --factor, --mean and --std"
        )
    return (
        "; ".join(reasons) or "its code computes another thing with these weights (pooling, head or layers)"
    )
