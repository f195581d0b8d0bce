"""The course's way (C1M1, C1M2): predict an image, then one gradient pass per finding; prints images/s.

Faster than the notebook: the gradient function is traced once, not rebuilt for every finding.
"""

import sys
import time

import keras
import numpy as np
import tensorflow as tf

from config.cards.model import SHIPPED, read_model, require_classifier
from workers.inference.networks.densenet import build
from workers.inference.pixels import prepare, test_pattern
from workers.inference.weights import load_weights


def main(images: int) -> None:
    """Time this many images after one to warm up."""
    model = require_classifier(read_model(SHIPPED / "untrained"))
    network = build(model.card)
    load_weights(network, model)
    predictor = keras.Model(network.input, network.outputs[1])

    def grad_cam(image: tf.Tensor, finding: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            normed, logits = network(image, training=False)
            tape.watch(normed)
            score = tf.gather(logits[0], finding)
        weights = tf.reduce_mean(tape.gradient(score, normed), axis=(1, 2))
        return tf.nn.relu(tf.einsum("nhwk,nk->nhw", normed, weights))

    traced = tf.function(grad_cam)
    image = prepare(test_pattern(320), model.card.pixels)[None]
    begun = 0.0
    for number in range(images + 1):
        if number == 1:
            begun = time.monotonic()
        predictor.predict(image, verbose=0)
        for finding in range(len(model.card.findings)):
            np.asarray(traced(tf.constant(image), tf.constant(finding)))
    print(images / (time.monotonic() - begun))


if __name__ == "__main__":
    main(int(sys.argv[1]))
