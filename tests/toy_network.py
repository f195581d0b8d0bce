"""A network that is built and compiled in a blink: means of 8 x 8 pixels, and a head with seeded weights.

Registered as the architecture `toy` by the tests that score with several networks, whose engines, weights and
golden scores are real ones.
"""

from typing import Any

import keras
import tensorflow as tf

from config.cards.classification import ClassificationCard
from workers.inference.networks.network import Forward, KerasModel, Network, Tensor


def build(card: ClassificationCard) -> KerasModel:
    """Build the Keras model."""
    inputs = keras.Input((card.pixels.size, card.pixels.size, card.pixels.channels))
    features = keras.layers.AveragePooling2D(8)(inputs)
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    logits = keras.layers.Dense(len(card.findings), name="head", dtype="float32")(pooled)
    return keras.Model(inputs, [features, logits])


def inference(network: KerasModel, _card: ClassificationCard) -> Forward:
    """Return it as a function."""
    kernel, bias = (tf.constant(array) for array in network.get_layer("head").get_weights())

    def forward(inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = tf.nn.avg_pool2d(inputs, 8, 8, "VALID")
        pooled = tf.reduce_mean(features, axis=(1, 2))
        return features, pooled, pooled @ kernel + bias

    return forward


def maps(_network: KerasModel, card: ClassificationCard) -> Any:
    """Return the bright places, each map's maximum 1."""

    def bright(features: Tensor) -> Tensor:
        seen = tf.nn.relu(tf.repeat(features[..., :1], len(card.findings), axis=3))
        return tf.math.divide_no_nan(seen, tf.reduce_max(seen, axis=(1, 2), keepdims=True))

    return bright


NETWORK = Network(build=build, inference=inference, maps=maps)
