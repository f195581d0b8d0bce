"""The course's soft Dice loss, on logits."""

import keras
import tensorflow as tf

from workers.metrics.segmentation import COURSE_EPSILON


class SoftDiceLoss(keras.losses.Loss):
    """1 - mean over classes of (2 Σyp + ε) / (Σy² + Σp² + ε), p the sigmoid of the logit.

    Sums are over a sub-volume's voxels (Milletari et al., 3DV 2016; Coursera, AI for Medicine, course 1,
    week 3, with its ε). Labels and logits are (N, x, y, z, classes); labels are 1 or 0.
    """

    def __init__(self, epsilon: float = COURSE_EPSILON) -> None:
        super().__init__(name="soft_dice_loss")
        self._epsilon = epsilon

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the loss of each sub-volume, (N,)."""
        y, p = tf.cast(y_true, tf.float32), tf.sigmoid(tf.cast(y_pred, tf.float32))
        voxels = (1, 2, 3)
        both = 2 * tf.reduce_sum(y * p, voxels) + self._epsilon
        each = tf.reduce_sum(y * y, voxels) + tf.reduce_sum(p * p, voxels) + self._epsilon
        return 1 - tf.reduce_mean(both / each, axis=-1)
