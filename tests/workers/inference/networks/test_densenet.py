"""Each depth is that of keras.applications, and scores, golden scores and maps hold for it."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from config.cards.classification import ARCHITECTURES, ClassificationCard
from config.cards.model import Classifier, Model
from config.errors import ConfigError
from workers.inference.engine import GOLDEN_TOLERANCE, TensorFlowEngine, check_golden
from workers.inference.golden import pattern_views
from workers.inference.networks.depths import DEPTHS, nearest_to
from workers.inference.networks.network import network_of, probabilities_of, seeded_weights
from workers.inference.weights import arrays_sha256
from workers.models.folder import golden_scores

SIZE = 64
FINDINGS = ("Mass", "Nodule", "Edema")

pytestmark = pytest.mark.usefixtures("tensorflow")


def card_of(untrained: Classifier, architecture: str) -> ClassificationCard:
    pixels = untrained.card.pixels.model_copy(update={"size": SIZE})
    third = {"findings": FINDINGS, "thresholds": (0.5,) * 3, "golden": (0.5,) * 3, "golden_film": None}
    return untrained.card.model_copy(update={"architecture": architecture, "pixels": pixels} | third)


def random_weights(network: Any) -> list[NDArray[np.float32]]:
    """Give each array numbers of its own: of two in each other's place the scores are others."""
    rng = np.random.default_rng(3)
    arrays = []
    for variable, array in zip(network.weights, seeded_weights(network, 3), strict=True):
        role = variable.path.rpartition("/")[2]
        low, high = {"kernel": (0.9, 1.1), "gamma": (0.8, 1.2), "moving_variance": (0.6, 1.4)}.get(
            role, (0.0, 0.0)
        )
        moved = array * rng.uniform(low, high, array.shape) if high else rng.uniform(-0.2, 0.2, array.shape)
        arrays.append(moved.astype(np.float32))
    return arrays


def pictures(card: ClassificationCard) -> NDArray[np.float32]:
    shape = (2, SIZE, SIZE, card.pixels.channels)
    return np.random.default_rng(4).normal(size=shape).astype(np.float32)


def test_every_depth_is_an_architecture_and_is_called_by_its_layers() -> None:
    assert ARCHITECTURES.keys() == DEPTHS.keys()
    for architecture, depth in DEPTHS.items():
        assert depth.name == f"DenseNet-{architecture.removeprefix('densenet')}"
        assert nearest_to(depth.convolutions) == architecture
    assert [depth.features for depth in DEPTHS.values()] == [1024, 2208, 1664, 1920]


@pytest.mark.parametrize("architecture", ["densenet121", "densenet169", "densenet201"])
def test_network_has_the_names_and_the_features_of_keras_own(
    untrained: Classifier, architecture: str
) -> None:
    import keras

    card = card_of(untrained, architecture)
    ours = network_of(card).build(card)
    make = getattr(keras.applications, f"DenseNet{architecture.removeprefix('densenet')}")
    theirs = make(include_top=False, weights=None, input_shape=(SIZE, SIZE, card.pixels.channels))
    *trunk, _kernel, _bias = ours.weights
    assert [(each.path, tuple(each.shape)) for each in trunk] == [
        (each.path, tuple(each.shape)) for each in theirs.weights
    ]
    arrays = random_weights(ours)
    ours.set_weights(arrays)
    theirs.set_weights(arrays[:-2])
    normed, _ = ours(pictures(card), training=False)
    expected = np.asarray(theirs(pictures(card), training=False))
    assert expected.max() > 0.01
    assert np.array_equal(np.maximum(np.asarray(normed), 0), expected)


@pytest.mark.parametrize("architecture", ["densenet161", "densenet169", "densenet201"])
def test_worker_computes_the_networks_scores_and_maps_by_autodiff(
    untrained: Classifier, architecture: str
) -> None:
    import keras
    import tensorflow as tf

    card = card_of(untrained, architecture)
    network = network_of(card).build(card)
    arrays = random_weights(network)
    network.set_weights(arrays)
    inputs = pictures(card)
    normed, logits = network(inputs, training=False)
    before, features, scores = network_of(card).inference(network, card)(inputs)
    assert before.shape[-1] == DEPTHS[architecture].features
    assert np.abs(np.asarray(before) - np.asarray(normed)).max() <= 1e-4 * np.asarray(normed).std()
    pooled = np.maximum(normed, 0) if card.final_relu else np.asarray(normed)
    assert np.allclose(features, pooled.mean(axis=(1, 2)), atol=1e-4)
    assert np.abs(np.asarray(scores) - np.asarray(logits)).max() <= 1e-4
    assert np.ptp(probabilities_of(network, inputs), axis=0).max() > 1e-3

    maps = np.asarray(network_of(card).maps(network, card)(before))
    head = keras.Model(network.outputs[0], network.outputs[1])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(before)
        outputs = [head(before, training=False)[:, index] for index in range(len(FINDINGS))]
    for index, output in enumerate(outputs):
        weights = tf.reduce_mean(tape.gradient(output, before), axis=(1, 2), keepdims=True)
        expected = np.maximum(np.asarray(tf.reduce_sum(weights * before, axis=-1)), 0)
        expected /= expected.max(axis=(1, 2), keepdims=True).clip(1e-30)
        assert np.abs(maps[..., index] - expected).max() <= 1e-4

    card = card.model_copy(
        update={"seed": 3, "sha256": arrays_sha256(seeded_weights(network, 3)), "weights": None}
    )
    network.set_weights(seeded_weights(network, 3))
    golden = golden_scores(network, pattern_views(card))
    model = Model(untrained.folder, card.model_copy(update={"golden": golden}))
    engine = TensorFlowEngine(model, threads=1)  # and this checks the golden scores
    found = engine.infer(inputs)
    assert np.abs(found.probabilities - probabilities_of(network, inputs)).max() <= 1e-4
    assert found.maps.shape == (2, 2, 2, len(FINDINGS))
    other = tuple(score + 0.01 for score in golden)
    with pytest.raises(ConfigError, match="for the test pattern Mass is"):
        check_golden(engine, card.model_copy(update={"golden": other}), GOLDEN_TOLERANCE)
