"""DenseNets (Huang et al., CVPR 2017) with a sigmoid head, built in code; no file can change their graph."""

from collections.abc import Callable
from functools import partial
from typing import Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from config.cards.classification import ClassificationCard
from workers.inference.gradcam import class_activation_maps
from workers.inference.networks.depths import DEPTHS, Depth
from workers.inference.networks.network import Forward, KerasModel, Network, Tensor

LAST_NORM: Final = "bn"
"""Keras' name of the last batch norm: the layer that Grad-CAM looks at."""

HEAD: Final = "findings"

_EPSILON: Final = 1.001e-5
"""Of all batch norms, as in Keras' own."""
_PAD_1: Final = ((0, 0), (1, 1), (1, 1), (0, 0))
_PAD_3: Final = ((0, 0), (3, 3), (3, 3), (0, 0))


def build(card: ClassificationCard) -> KerasModel:
    """Build a card's network from input (N, size, size, channels) to two outputs.

    Its layers have the names and the order of keras.applications'. The first output is the last batch norm's,
    (N, h, w, features of the card's depth), before the ReLU that follows in most models (a card
    says so where it does not); Grad-CAM is taken there. The second are the logits, (N, findings).
    """
    entry = keras.Input((card.pixels.size, card.pixels.size, card.pixels.channels))
    normed = _trunk(entry, DEPTHS[card.architecture])
    features = keras.layers.Activation("relu", name="features")(normed) if card.final_relu else normed
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    logits = keras.layers.Dense(len(card.findings), name=HEAD, dtype="float32")(pooled)
    return keras.Model(entry, [normed, logits], name=card.architecture)


def _trunk(x: Tensor, depth: Depth) -> Tensor:
    """Return the last batch norm's output."""
    x = keras.layers.ZeroPadding2D(3)(x)
    x = _norm(_convolution(x, depth.stem, 7, "conv1_conv", strides=2), "conv1_bn", relu=True)
    x = keras.layers.MaxPooling2D(3, strides=2)(keras.layers.ZeroPadding2D(1)(x))
    for stage, layers in enumerate(depth.blocks, start=2):
        for layer in range(1, layers + 1):
            name = f"conv{stage}_block{layer}"
            y = _convolution(_norm(x, f"{name}_0_bn", relu=True), depth.bottleneck, 1, f"{name}_1_conv")
            y = _convolution(_norm(y, f"{name}_1_bn", relu=True), depth.growth, 3, f"{name}_2_conv")
            x = keras.layers.Concatenate(name=f"{name}_concat")([x, y])
        if stage <= len(depth.blocks):
            halved = x.shape[-1] // 2
            x = _convolution(_norm(x, f"pool{stage}_bn", relu=True), halved, 1, f"pool{stage}_conv")
            x = keras.layers.AveragePooling2D(2, strides=2)(x)
    return _norm(x, LAST_NORM, relu=False)


def _convolution(x: Tensor, filters: int, side: int, name: str, *, strides: int = 1) -> Tensor:
    # The first one's padding is a layer of its own.
    padding = "valid" if strides > 1 else "same"
    layer = keras.layers.Conv2D(filters, side, strides=strides, padding=padding, use_bias=False, name=name)
    return layer(x)


def _norm(x: Tensor, name: str, *, relu: bool) -> Tensor:
    normed = keras.layers.BatchNormalization(epsilon=_EPSILON, name=name)(x)
    return keras.layers.Activation("relu")(normed) if relu else normed


def inference(network: KerasModel, card: ClassificationCard) -> Forward:
    """Return a filled network as a function for inference alone.

    From (N, size, size, channels) to the last batch norm's output (N, h, w, features), the pooled features
    (N, features) and the logits (N, findings), as `build` has them. A batch norm right after a convolution is
    folded into it, the others become a product and a sum; where the pictures are halved, the mean of four
    places is taken before the 1 x 1 convolution and not after, which gives the same for a quarter of the
    work. It computes in the precision of Keras' policy.
    """
    dtype = keras.mixed_precision.global_policy().compute_dtype

    def constant(values: NDArray[np.float32]) -> Tensor:
        return tf.constant(values.astype(np.float32), dtype=dtype)

    def kernel(layer: str) -> NDArray[np.float32]:
        values: NDArray[np.float32] = network.get_layer(layer).kernel.numpy()
        return values

    def norm(layer: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        found = network.get_layer(layer)
        gamma, beta, mean, variance = (variable.numpy() for variable in found.weights)
        factor = gamma / np.sqrt(variance + found.epsilon)
        return factor, beta - mean * factor

    def normed_convolution(name: str) -> tuple[Tensor, Tensor]:
        factor, shift = norm(f"{name}_bn")
        return constant(kernel(f"{name}_conv") * factor), constant(shift)

    def constants(layer: str) -> tuple[Tensor, Tensor]:
        factor, shift = norm(layer)
        return constant(factor), constant(shift)

    counts = DEPTHS[card.architecture].blocks
    first = normed_convolution("conv1")
    blocks = [
        [
            (
                constants(f"conv{stage}_block{block}_0_bn"),
                normed_convolution(f"conv{stage}_block{block}_1"),
                constant(kernel(f"conv{stage}_block{block}_2_conv")),
            )
            for block in range(1, count + 1)
        ]
        for stage, count in enumerate(counts, start=2)
    ]
    halvings = [
        (constants(f"pool{stage}_bn"), constant(kernel(f"pool{stage}_conv")))
        for stage in range(2, len(counts) + 1)
    ]
    last = constants(LAST_NORM)
    head = network.get_layer(HEAD)
    head_kernel, head_bias = tf.constant(head.kernel.numpy()), tf.constant(head.bias.numpy())

    def forward(inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = tf.pad(tf.cast(inputs, dtype), _PAD_3)
        x = tf.nn.relu(tf.nn.conv2d(x, first[0], 2, "VALID") + first[1])
        x = tf.nn.max_pool2d(tf.pad(x, _PAD_1), 3, 2, "VALID")
        for stage, layers in enumerate(blocks):
            for (factor, shift), (narrow, bias), wide in layers:
                y = tf.nn.relu(x * factor + shift)
                y = tf.nn.relu(tf.nn.conv2d(y, narrow, 1, "SAME") + bias)
                x = tf.concat([x, tf.nn.conv2d(y, wide, 1, "SAME")], axis=3)
            if stage < len(halvings):
                (factor, shift), narrow = halvings[stage]
                x = tf.nn.avg_pool2d(tf.nn.relu(x * factor + shift), 2, 2, "VALID")
                x = tf.nn.conv2d(x, narrow, 1, "SAME")
        normed = x * last[0] + last[1]
        features = tf.nn.relu(normed) if card.final_relu else normed
        pooled = tf.reduce_mean(tf.cast(features, tf.float32), axis=(1, 2))
        return normed, pooled, pooled @ head_kernel + head_bias

    return forward


def maps(network: KerasModel, card: ClassificationCard) -> Callable[[Tensor], Tensor]:
    """Return the function from the last batch norm's output, (N, h, w, features), to (N, h, w, findings)."""
    kernel = tf.constant(network.get_layer(HEAD).kernel.numpy())
    return partial(class_activation_maps, kernel=kernel, final_relu=card.final_relu)


NETWORK: Final = Network(build=build, inference=inference, maps=maps)
