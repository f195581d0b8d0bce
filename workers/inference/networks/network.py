"""What engines, imports of models and training know about an architecture: one record per network."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from config.cards import segmentation
from config.cards.classification import ARCHITECTURES, ClassificationCard
from config.cards.segmentation import SegmentationCard
from workers.inference.devices import load_tensorflow

Tensor = Any
"""A tensor of TensorFlow's; neither TensorFlow nor Keras has types."""

TensorFunction = Any
"""A function compiled by TensorFlow."""

KerasModel = Any
"""A model of Keras'."""

Forward = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
"""From (N, size, size, channels) to what maps are made of (N, h, w, k), features (N, k) and logits (N, n)."""


def seeded_weights(network: KerasModel, seed: int) -> list[NDArray[np.float32]]:
    """Make initial weights that are the same on every machine: He uniform kernels, identity batch norms.

    RandomState's stream is frozen for good, and its uniform numbers need no library function of the platform,
    so the arrays and their hash depend on the seed alone.
    """
    stream = np.random.RandomState(seed)
    arrays = []
    for variable in network.weights:
        shape = tuple(variable.shape)
        role = variable.path.rsplit("/", 1)[-1]
        if role == "kernel":
            limit = np.sqrt(6.0 / np.prod(shape[:-1]))
            values = (2.0 * stream.random_sample(shape) - 1.0) * limit
        else:
            values = np.full(shape, 1.0 if role in {"gamma", "moving_variance"} else 0.0)
        arrays.append(values.astype(np.float32))
    return arrays


@dataclass(frozen=True, slots=True)
class Network:
    """How an architecture is built, computed and filled, as its card says.

    `build`: makes the Keras model from (N, size, size, channels) to what maps are made of and logits, as
    `Forward` has them, for training and for weights in the order of its `weights`. `inference`: turns a
    filled model into a function for inference alone. `maps`: turns a filled model into the function from
    (N, h, w, k) to maps (N, h, w, findings), each map's maximum 1 or 0. `seeded_weights`: makes initial
    arrays from a seed.
    """

    build: Callable[[ClassificationCard], KerasModel]
    inference: Callable[[KerasModel, ClassificationCard], Forward]
    maps: Callable[[KerasModel, ClassificationCard], Callable[[Tensor], Tensor]]
    seeded_weights: Callable[[KerasModel, int], list[NDArray[np.float32]]] = seeded_weights


@dataclass(frozen=True, slots=True)
class VolumeNetwork:
    """How an architecture for volumes is built and filled, as its card says.

    `build`: makes the Keras model from (N, x, y, z, channels) to logits (N, x, y, z, classes), for inference,
    training, and weights in the order of its `weights`. `seeded_weights`: makes initial arrays from a seed.
    """

    build: Callable[[SegmentationCard], KerasModel]
    seeded_weights: Callable[[KerasModel, int], list[NDArray[np.float32]]] = seeded_weights


@overload
def network_of(card: ClassificationCard) -> Network: ...


@overload
def network_of(card: SegmentationCard) -> VolumeNetwork: ...


def network_of(card: ClassificationCard | SegmentationCard) -> Network | VolumeNetwork:
    """Load the network of a card's architecture, and with it TensorFlow."""
    load_tensorflow()  # which the network's module imports
    architectures = ARCHITECTURES if isinstance(card, ClassificationCard) else segmentation.ARCHITECTURES
    network: Network | VolumeNetwork = import_module(architectures[card.architecture]).NETWORK
    return network


def probabilities_of(network: KerasModel, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return a filled Keras model's probabilities, (N, findings), for prepared pictures."""
    from scipy.special import expit  # noqa: PLC0415  # no worker needs it, and it takes a while to load

    _, logits = network(inputs, training=False)
    probabilities: NDArray[np.float64] = expit(np.asarray(logits, dtype=np.float64))
    return probabilities


def with_other_relu(network: KerasModel, card: ClassificationCard) -> tuple[KerasModel, ClassificationCard]:
    """Return the same filled network with a final ReLU where it has none, and without where it has one."""
    other = card.model_copy(update={"final_relu": not card.final_relu})
    turned = network_of(other).build(other)
    turned.set_weights(network.get_weights())
    return turned, other
