"""Grad-CAM for all findings in the forward pass.

Selvaraju et al., ICCV 2017. With A (h, w, k) the pooled features, W the head's kernel and z_c a finding's
logit, the weight of feature k is the mean of dz_c/dA_k over all positions. Taken at the batch norm before a
ReLU that is W_kc/(hw) times the share f_k of positions where the ReLU lets the gradient through, so the map
of finding c is relu(sum_k W_kc f_k A_k) up to a positive factor, which dividing by the maximum removes.
No gradient has to be taken, and 14 maps are one einsum.
"""

import tensorflow as tf


def class_activation_maps(normed: tf.Tensor, kernel: tf.Tensor, *, final_relu: bool) -> tf.Tensor:
    """Return (N, h, w, findings) maps of `normed` (N, h, w, k), the last batch norm's output, as a tensor.

    Each map is clipped at 0 and divided by its maximum; one without a positive value is all 0.
    """
    normed = tf.cast(normed, tf.float32)
    if final_relu:
        passed = tf.reduce_mean(tf.cast(normed > 0, tf.float32), axis=(1, 2))
    else:
        passed = tf.ones_like(normed[:, 0, 0, :])
    weights = passed[:, :, None] * kernel[None, :, :]
    maps = tf.nn.relu(tf.einsum("nhwk,nkc->nhwc", normed, weights))
    return tf.math.divide_no_nan(maps, tf.reduce_max(maps, axis=(1, 2), keepdims=True))
