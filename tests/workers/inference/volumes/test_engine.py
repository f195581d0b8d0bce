"""Engines for volumes: equal to each other, and to what the card says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import SEGMENTATION_CARD

from config.cards.model import Model, Segmenter
from config.errors import ConfigError

FACTS = {
    name: value
    for name, value in SEGMENTATION_CARD.items()
    if name not in {"kind", "sha256", "seed", "golden"}
} | {"base": 4, "depth": 4, "patch": [16, 24, 8]}


@pytest.fixture(scope="module")
def model(tensorflow: Any, tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    from volume_support import segmentation_card

    from workers.inference.networks.network import network_of, seeded_weights
    from workers.models.folder import write_segmenter

    assert tensorflow
    card = segmentation_card(**{name: FACTS[name] for name in ("base", "depth", "patch")})
    arrays = seeded_weights(network_of(card).build(card), 5)
    return write_segmenter(tmp_path_factory.mktemp("models"), FACTS, arrays, half=True)


def patches(seed: int, shape: tuple[int, int, int] = (16, 24, 8)) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=(2, *shape, 4)).astype(np.float32)


def test_openvino_answers_as_tensorflow_does(model: Segmenter) -> None:
    from workers.inference.volumes.engine import make_volume_engine

    reference = make_volume_engine("tensorflow", model, threads=1)
    other = make_volume_engine("openvino", model, threads=1)
    assert (reference.name, other.name) == ("tensorflow", "openvino")
    for shape in ((16, 24, 8), (24, 16, 16)):
        inputs = patches(3, shape)
        expected, found = reference.segment(inputs), other.segment(inputs)
        assert expected.shape == found.shape == (2, *shape, 3)
        assert np.abs(expected - found).max() < 1e-4
        assert expected.std() > 1e-3


def test_other_weights_than_the_cards_are_refused(model: Segmenter, tmp_path: Path) -> None:
    from workers.inference.volumes.engine import make_volume_engine

    assert model.card.weights
    content = bytearray((model.folder / model.card.weights).read_bytes())
    content[-1] ^= 1
    (tmp_path / model.card.weights).write_bytes(content)
    with pytest.raises(ConfigError, match="SHA-256"):
        make_volume_engine("tensorflow", Model(tmp_path, model.card))


def test_other_golden_scores_than_the_cards_are_refused(model: Segmenter) -> None:
    from workers.inference.volumes.engine import make_volume_engine

    first, *rest = model.card.golden
    card = model.card.model_copy(update={"golden": (first + 0.01, *rest)})
    with pytest.raises(ConfigError, match="for the test volume the mean of edema is"):
        make_volume_engine("tensorflow", Model(model.folder, card))


def test_seeded_weights_need_no_file(model: Segmenter) -> None:
    from workers.inference.networks.network import network_of, seeded_weights
    from workers.inference.volumes.engine import NetworkEngine, TensorFlowVolumeEngine, golden_means
    from workers.inference.weights import arrays_sha256

    network = network_of(model.card).build(model.card)
    arrays = seeded_weights(network, 5)
    network.set_weights(arrays)
    seeded = model.card.model_copy(
        update={
            "weights": None,
            "seed": 5,
            "sha256": arrays_sha256(arrays),
            "golden": golden_means(NetworkEngine(network), model.card),
        }
    )
    inputs = patches(4)
    answers = TensorFlowVolumeEngine(Model(model.folder, seeded)).segment(inputs)
    assert np.abs(answers - NetworkEngine(network).segment(inputs)).max() < 1e-6
