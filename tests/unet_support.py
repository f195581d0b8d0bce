"""The course's 3-D U-Net as Keras 2 builds it, written from its description and not from ours."""

from typing import Any

import numpy as np
import pytest


def course_layout(*, base: int, channels_first: bool, seed: int) -> Any:
    """Four levels as `unet_model_3d` of the course makes them: its loops, its order, its activations."""
    tf_keras: Any = pytest.importorskip("tf_keras")
    layers = tf_keras.layers
    tf_keras.backend.clear_session()
    form = "channels_first" if channels_first else "channels_last"
    axis = 1 if channels_first else -1
    sides = (16, 24, 8)
    entry = layers.Input((4, *sides) if channels_first else (*sides, 4))

    def block(layer: Any, filters: int) -> Any:
        layer = layers.Conv3D(filters, (3, 3, 3), padding="same", strides=(1, 1, 1), data_format=form)(layer)
        return layers.Activation("relu")(layer)

    current, levels = entry, []
    for depth in range(4):
        one = block(current, base * (2**depth))
        two = block(one, base * (2**depth) * 2)
        current = layers.MaxPooling3D(pool_size=(2, 2, 2), data_format=form)(two) if depth < 3 else two
        levels.append(two)
    for depth in (2, 1, 0):
        up = layers.UpSampling3D(size=(2, 2, 2), data_format=form)(current)
        joined = layers.concatenate([up, levels[depth]], axis=axis)
        width = levels[depth].shape[axis]
        current = block(block(joined, width), width)
    answer = layers.Activation("sigmoid")(layers.Conv3D(3, (1, 1, 1), data_format=form)(current))
    model = tf_keras.Model(entry, answer)
    random = np.random.default_rng(seed)
    model.set_weights(
        [
            random.normal(0, 1 / np.sqrt(np.prod(array.shape[:-1])), array.shape)
            for array in model.get_weights()
        ]
    )
    return model
