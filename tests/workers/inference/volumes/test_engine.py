"""Engines for volumes: equal to each other, and to what the card says."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import ROOT, SEGMENTATION_CARD

from config.cards.model import Model, Segmenter
from config.engines import EngineKind
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


@pytest.fixture(scope="module")
def graphs(model: Segmenter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the model's graph is kept."""
    from workers.inference.volumes.engine import make_volume_engine

    folder = tmp_path_factory.mktemp("graphs")
    make_volume_engine("openvino", model, graphs=folder)
    return folder


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.inference.graphs._export", None)


@pytest.mark.processes
@pytest.mark.usefixtures("no_export")
def test_openvino_answers_as_tensorflow_does(model: Segmenter, graphs: Path) -> None:
    from workers.inference.volumes.engine import make_volume_engine

    reference = make_volume_engine("tensorflow", model, threads=1)
    other = make_volume_engine("openvino", model, threads=1, graphs=graphs)
    assert (reference.name, other.name) == ("tensorflow", "openvino")
    for shape in ((16, 24, 8), (24, 16, 16), (16, 24, 8)):
        inputs = patches(3, shape)
        expected, found = reference.segment(inputs), other.segment(inputs)
        assert expected.shape == found.shape == (2, *shape, 3)
        assert np.abs(expected - found).max() < 1e-4
        assert expected.std() > 1e-3
    other.release()
    assert np.array_equal(other.segment(inputs), found)


SCORES = """
import sys
from pathlib import Path
from config.cards.model import read_model, require_segmenter
from db.ledger import BatchImage, Claim
from workers.scoring.scorer import ScorerOptions
from workers.scoring.segmentation import SegmentationScorer
model, graphs, images = map(Path, sys.argv[1:])
options = ScorerOptions("openvino", 1, images / "outputs", 1_000_000, graphs=graphs)
scorer = SegmentationScorer.load(require_segmenter(read_model(model)), options)
batch = (BatchImage(1, "case.nii.gz", {"Label": "label.nii.gz"}),)
claim = Claim(1, 1, 1, 1, 1, "token", str(images), "none", None, "tumours", "", {}, batch)
(outcome,) = scorer.score(claim)
print(type(outcome).__name__, outcome.labelled, {"tensorflow", "keras"} & sys.modules.keys())
"""


@pytest.mark.processes
def test_a_process_that_segments_with_a_kept_graph_loads_no_tensorflow(
    model: Segmenter, graphs: Path, tmp_path: Path
) -> None:
    from volume_support import head, nifti

    values = head()
    (tmp_path / "case.nii.gz").write_bytes(nifti(values))
    (tmp_path / "label.nii.gz").write_bytes(nifti((values[..., 0] > 400).astype(np.uint8)))
    kept = (graphs / model.card.name / "patches.graph").stat()
    arguments = [sys.executable, "-c", SCORES, str(model.folder), str(graphs), str(tmp_path)]
    found = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["Segmentation", "True", "set()"]
    assert (graphs / model.card.name / "patches.graph").stat() == kept


@pytest.mark.processes
def test_a_graph_of_another_card_is_exported_again(model: Segmenter, graphs: Path, tmp_path: Path) -> None:
    from workers.inference.volumes.engine import make_volume_engine

    folder = shutil.copytree(graphs, tmp_path / "graphs")
    path = folder / model.card.name / "patches.graph"
    changed = model.card.model_copy(update={"threshold": 0.4})
    before = path.read_bytes()
    make_volume_engine("openvino", Model(model.folder, changed), graphs=folder)
    assert path.read_bytes() != before


@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
@pytest.mark.usefixtures("no_export")
def test_other_weights_than_the_cards_are_refused(
    engine: EngineKind, model: Segmenter, tmp_path: Path
) -> None:
    from workers.inference.volumes.engine import make_volume_engine

    assert model.card.weights
    content = bytearray((model.folder / model.card.weights).read_bytes())
    content[-1] ^= 1
    (tmp_path / model.card.weights).write_bytes(content)
    with pytest.raises(ConfigError, match="SHA-256"):
        make_volume_engine(engine, Model(tmp_path, model.card))


@pytest.mark.processes
@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
def test_other_golden_scores_than_the_cards_are_refused(engine: EngineKind, model: Segmenter) -> None:
    from workers.inference.volumes.engine import make_volume_engine

    first, *rest = model.card.golden
    card = model.card.model_copy(update={"golden": (first + 0.01, *rest)})
    with pytest.raises(ConfigError, match="for the test volume the mean of edema is"):
        make_volume_engine(engine, Model(model.folder, card))


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
