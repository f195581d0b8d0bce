"""DenseNet-121 (Huang et al., CVPR 2017) with a sigmoid head, built in code; no file can change its graph."""

from collections.abc import Callable
from functools import partial
from typing import Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from config.cards.classification import ClassificationCard
from workers.inference.gradcam import class_activation_maps
from workers.inference.networks.network import Forward, KerasModel, Network, Tensor

LAST_NORM: Final = "bn"
"""Keras' name of the last batch norm: the layer that Grad-CAM looks at."""

HEAD: Final = "findings"

_BLOCKS: Final = (6, 12, 24, 16)
"""Layers of the four dense blocks: 121 is 2 for each, and 5 between, before and after them."""
_PAD_1: Final = ((0, 0), (1, 1), (1, 1), (0, 0))
_PAD_3: Final = ((0, 0), (3, 3), (3, 3), (0, 0))


def build(card: ClassificationCard) -> KerasModel:
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


def inference(network: KerasModel, card: ClassificationCard) -> Forward:
    """Return a filled network as a function for inference alone.

    From (N, size, size, channels) to the last batch norm's output (N, h, w, 1024) and the logits
    (N, findings), as `build` has them. A batch norm right after a convolution is folded into it, the others
    become a product and a sum; where the pictures are halved, the mean of four places is taken before the
    1 x 1 convolution and not after, which gives the same for a quarter of the work. It computes in the
    precision of Keras' policy.
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
        for stage, count in enumerate(_BLOCKS, start=2)
    ]
    halvings = [
        (constants(f"pool{stage}_bn"), constant(kernel(f"pool{stage}_conv")))
        for stage in range(2, len(_BLOCKS) + 1)
    ]
    last = constants(LAST_NORM)
    head = network.get_layer(HEAD)
    head_kernel, head_bias = tf.constant(head.kernel.numpy()), tf.constant(head.bias.numpy())

    def forward(inputs: Tensor) -> tuple[Tensor, Tensor]:
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
        return normed, pooled @ head_kernel + head_bias

    return forward


def maps(network: KerasModel, card: ClassificationCard) -> Callable[[Tensor], Tensor]:
    """Return the function from the last batch norm's output (N, h, w, 1024) to maps (N, h, w, findings)."""
    kernel = tf.constant(network.get_layer(HEAD).kernel.numpy())
    return partial(class_activation_maps, kernel=kernel, final_relu=card.final_relu)


NETWORK: Final = Network(build=build, inference=inference, maps=maps)
