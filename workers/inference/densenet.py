"""DenseNet-121 (Huang et al., CVPR 2017) with a sigmoid head, built in code; no file can change its graph."""

from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from config.cards import ModelCard

LAST_NORM: Final = "bn"
"""Keras' name of the last batch norm: the layer that Grad-CAM looks at."""

HEAD: Final = "findings"


def build(card: ModelCard) -> Any:
    """Build a card's network from input (N, size, size, channels) to two outputs.

    The first is the last batch norm's, (N, h, w, 1024), before the ReLU that follows in most models (a card
    says so where it does not); Grad-CAM is taken there. The second are the logits, (N, findings).
    """
    shape = (card.pixels.size, card.pixels.size, card.pixels.channels)
    trunk = keras.applications.DenseNet121(include_top=False, weights=None, input_shape=shape)
    normed = trunk.get_layer(LAST_NORM).output
    features = keras.layers.Activation("relu", name="features")(normed) if card.final_relu else normed
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    logits = keras.layers.Dense(len(card.findings), name=HEAD, dtype="float32")(pooled)
    return keras.Model(trunk.input, [normed, logits], name=card.architecture)


def seeded_weights(network: Any, seed: int) -> list[NDArray[np.float32]]:
    """Make initial weights that are the same on every machine: He uniform kernels, identity batch norms.

    RandomState's stream is frozen for good and its uniform numbers need no library function of the
    platform, so the arrays, and their hash, depend on the seed alone.
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
