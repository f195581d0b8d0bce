"""Pictures for training: decoded in parallel by tf.data, prepared by the very code that scoring uses."""

import os
from collections.abc import Callable
from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from config.cards.classification import Preprocessing
from config.failures import ImageUnusableError
from workers.inference.pixels import scaled_views
from workers.inference.prepared import Prepared
from workers.training.splits import Split

_CACHED_SHARE: Final = 0.25
"""Share of the machine's memory; a split that fits into it is decoded once, not once per epoch."""


class Inputs:
    """Makes a split's dataset and keeps count of the pictures that could not be read."""

    def __init__(self, read: Callable[[str], Prepared], pixels: Preprocessing) -> None:
        """`read` gives the picture of a name, as `pixels` has it, or raises ImageUnusableError."""
        self._prepared = read
        self._pixels = pixels
        self._shape = (pixels.size, pixels.size, pixels.channels)
        self.unusable: dict[str, str] = {}
        """Image name -> reason; such images are left out."""

    def dataset(
        self, split: Split, batch: int, *, shuffle: int | None = None, flip: bool = False
    ) -> tf.data.Dataset:
        """Return batches of prepared pictures (batch, size, size, channels) and labels (batch, findings).

        `shuffle` seeds a new order for each epoch; without it the order is the manifest's. `flip` mirrors
        half of the pictures, which puts the heart on the other side: only where that is wanted.
        """
        made = tf.data.Dataset.from_tensor_slices((list(split.names), split.labels))
        cached = len(split) * int(np.prod(self._shape)) * 4 <= _CACHED_SHARE * _memory()
        if shuffle is not None and not cached:
            made = made.shuffle(len(split), seed=shuffle)
        made = made.map(self._load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        made = made.filter(lambda usable, _picture, _labels: usable)
        made = made.map(lambda _usable, picture, labels: (picture, labels))
        if cached:
            made = made.cache()
            if shuffle is not None:
                made = made.shuffle(len(split), seed=shuffle)
        if flip:
            mirror = tf.image.random_flip_left_right
            made = made.map(lambda picture, labels: (mirror(picture, seed=shuffle), labels))
        return made.batch(batch).prefetch(tf.data.AUTOTUNE)

    def _load(self, name: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        usable, picture = tf.numpy_function(self._read, [name], [tf.bool, tf.float32])
        return tf.ensure_shape(usable, ()), tf.ensure_shape(picture, self._shape), labels

    def _read(self, name: bytes) -> tuple[np.bool_, NDArray[np.float32]]:
        text = name.decode()
        try:
            prepared = self._prepared(text)
        except ImageUnusableError as error:
            self.unusable[text] = error.reason
            return np.False_, np.zeros(self._shape, dtype=np.float32)
        return np.True_, scaled_views(prepared.views, self._pixels)[0]


def _memory() -> int:
    return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
