"""The course's weighted binary cross-entropy, on logits, with unknown labels left out."""

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray


class WeightedCrossEntropy(keras.losses.Loss):
    """Sum over findings c of mean(-w+_c y log p - w-_c (1 - y) log(1 - p)), p the sigmoid of the logit.

    w+ is a finding's share of negative images and w- that of positive ones, so that both classes weigh
    the same however rare the finding is (Coursera, AI for Medicine, course 1, week 1). The logarithms are
    computed from the logits, which needs no epsilon inside them. Labels are 1, 0 and -1 for unknown; an
    unknown one adds nothing.
    """

    def __init__(self, positive_share: NDArray[np.float64]) -> None:
        """Take the share (findings,) of positive images in the training split."""
        super().__init__(name="weighted_cross_entropy")
        self._positive_weight = tf.constant(1.0 - positive_share, tf.float32)
        self._negative_weight = tf.constant(positive_share, tf.float32)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the loss of each image, (N,)."""
        labels = tf.cast(y_true, tf.float32)
        logits = tf.cast(y_pred, tf.float32)
        positive = tf.cast(labels == 1.0, tf.float32) * self._positive_weight * tf.nn.softplus(-logits)
        negative = tf.cast(labels == 0.0, tf.float32) * self._negative_weight * tf.nn.softplus(logits)
        return tf.reduce_sum(positive + negative, axis=-1)
