"""The 3-D U-Net of the course AI for Medicine, built in code; no file can change its graph.

Its form is that of ellisdg's 3DUnetCNN after Çiçek et al., MICCAI 2016: no batch norms, no transposed
convolutions. The course has channels first; kernels are the same, and here channels are last, as TensorFlow
computes on a CPU.
"""

from typing import Final

import keras

from config.cards.segmentation import SegmentationCard
from workers.inference.networks.network import KerasModel, Tensor, VolumeNetwork

HEAD: Final = "classes"


def build(card: SegmentationCard) -> KerasModel:
    """Build a card's network from (N, x, y, z, channels) to logits (N, x, y, z, classes).

    x, y and z may be any multiples of 2 ** (depth - 1). A level has two convolutions of 3³ with ReLU: with
    base · 2^level and twice as many filters on the way down, with the latter on the way up. With a base of
    32, a depth of 4, four channels and three classes it has 16,318,307 parameters.
    """
    entry = keras.Input((None, None, None, len(card.channels)))
    x, passed = entry, []
    for level in range(card.depth):
        filters = card.base * 2**level
        x = _convolution(x, filters, f"down{level}_conv1")
        x = _convolution(x, 2 * filters, f"down{level}_conv2")
        if level < card.depth - 1:
            passed.append(x)
            x = keras.layers.MaxPooling3D(2, name=f"down{level}_pool")(x)
    for level in reversed(range(card.depth - 1)):
        filters = 2 * card.base * 2**level
        x = keras.layers.UpSampling3D(2, name=f"up{level}_upsampling")(x)
        x = keras.layers.Concatenate(name=f"up{level}_concat")([x, passed[level]])
        x = _convolution(x, filters, f"up{level}_conv1")
        x = _convolution(x, filters, f"up{level}_conv2")
    logits = keras.layers.Conv3D(len(card.classes), 1, name=HEAD, dtype="float32")(x)
    return keras.Model(entry, logits, name=card.architecture)


def _convolution(x: Tensor, filters: int, name: str) -> Tensor:
    layer = keras.layers.Conv3D(
        filters, 3, padding="same", activation="relu", kernel_initializer="he_uniform", name=name
    )
    return layer(x)


NETWORK: Final = VolumeNetwork(build=build)
