"""The network's scores and maps: as the card says, whatever the batch; Grad-CAM as autodiff gives it."""

import copy
import hashlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import ROOT

from config.cards.classification import ClassificationCard
from config.cards.model import Classifier, Model
from config.errors import ConfigError
from config.findings import FINDINGS
from jobs.phantoms.archive import draw, plan_archive
from jobs.sources.folder import FolderSource
from workers.inference import pixels
from workers.inference.engine import (
    GOLDEN_TOLERANCE,
    Engine,
    Inference,
    TensorFlowEngine,
    check_golden,
    infer_views,
    make_engine,
)
from workers.inference.formats.decode import read_picture
from workers.inference.formats.picture import Picture
from workers.inference.networks.network import seeded_weights

LIMIT = 64_000_000
CORES = os.sched_getaffinity(0)


# --- models ------------------------------------------------------------------------------------------------
# TensorFlow is imported after the first engine has made its settings for the process.


@pytest.fixture(scope="module")
def engine(tensorflow: Any, untrained: Classifier) -> TensorFlowEngine:
    """The engine of the shipped card: it is compiled once for this module."""
    assert tensorflow
    return TensorFlowEngine(untrained, threads=1)


@pytest.fixture(scope="module")
def network(engine: TensorFlowEngine, untrained: Classifier) -> Any:
    """The same network, not compiled, for autodiff and for saving."""
    assert engine.batch
    return build(untrained)


def build(model: Classifier) -> Any:
    from workers.inference import weights
    from workers.inference.networks import densenet

    built = densenet.build(model.card)
    weights.load_weights(built, model)
    return built


def changed(model: Classifier, folder: Path | None = None, **fields: Any) -> Classifier:
    """Give the model with other fields in its card, validated as a file's would be."""
    card = ClassificationCard.model_validate(model.card.model_dump() | fields)
    return Model(folder=folder or model.folder, card=card)


def own_model(model: Classifier, **fields: Any) -> Classifier:
    """Give a model of another shape with seeded weights, and with the hash and golden scores they have."""
    from workers.inference import weights
    from workers.inference.networks import densenet

    findings = fields.get("findings", model.card.findings)
    blanks = (0.5,) * len(findings)
    blank = changed(model, thresholds=blanks, golden=blanks, golden_film=None, **fields)
    built = densenet.build(blank.card)
    arrays = seeded_weights(built, blank.card.seed or 0)
    built.set_weights(arrays)
    pattern = pixels.prepare(pixels.test_pattern(blank.card.pixels.size), blank.card.pixels)
    _, logits = built(pattern[None], training=False)
    golden = 1.0 / (1.0 + np.exp(-np.asarray(logits, dtype=np.float64)[0]))
    return changed(blank, sha256=weights.arrays_sha256(arrays), golden=tuple(golden.tolist()))


@pytest.fixture(scope="module")
def saved(network: Any, untrained: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """The shipped model with its weights in a file."""
    from workers.inference import weights

    folder = tmp_path_factory.mktemp("saved")
    sha256 = weights.save_weights(network, folder / "weights.npz")
    return changed(untrained, folder, seed=None, weights="weights.npz", sha256=sha256)


# --- pictures ----------------------------------------------------------------------------------------------


def of_phantoms(card: ClassificationCard, n: int, seed: int = 5) -> NDArray[np.float32]:
    drawn = (Picture(draw(phantom)) for phantom in plan_archive(n, seed))
    return np.stack([pixels.prepare(picture, card.pixels) for picture in drawn])


@pytest.fixture(scope="module")
def phantoms(untrained: Classifier) -> NDArray[np.float32]:
    """Eight prepared phantoms: a full batch on a CPU."""
    return of_phantoms(untrained.card, 8)


def by_autodiff(network: Any, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take Grad-CAM as Selvaraju et al. define it, one gradient a finding, at these values of `bn`.

    Each map's maximum is 1 or 0.
    """
    import keras
    import tensorflow as tf

    normed, logits_of = network.outputs
    features = tf.constant(values)
    # Without a tape over the layers below `bn`: it would take every gradient through all of them.
    head = keras.Model(normed, logits_of)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features)
        logits = head(features, training=False)
        probabilities = [tf.sigmoid(logits[:, index]) for index in range(logits.shape[-1])]
    maps = []
    for probability in probabilities:
        alpha = tf.reduce_mean(tape.gradient(probability, features), axis=(1, 2), keepdims=True)
        maps.append(np.maximum(np.asarray(tf.reduce_sum(alpha * features, axis=-1), dtype=np.float64), 0))
    stacked = np.stack(maps, axis=-1)
    highest = stacked.max(axis=(1, 2), keepdims=True)
    divided: NDArray[np.float64] = np.divide(stacked, highest, out=np.zeros_like(stacked), where=highest > 0)
    return divided.astype(np.float32)


def watched(model: Classifier, monkeypatch: pytest.MonkeyPatch) -> TensorFlowEngine:
    """Compile an engine that gives, behind its maps, the features that it made them of."""
    import tensorflow as tf

    from workers.inference.gradcam import class_activation_maps
    from workers.inference.networks import densenet

    def with_features(normed: Any, kernel: Any, *, final_relu: bool) -> Any:
        return tf.concat([class_activation_maps(normed, kernel, final_relu=final_relu), normed], axis=-1)

    with monkeypatch.context() as patched:
        patched.setattr(densenet, "class_activation_maps", with_features)
        return TensorFlowEngine(model, threads=1)


def assert_maps_are_grad_cam(engine: TensorFlowEngine, network: Any, inputs: NDArray[np.float32]) -> None:
    """Compare a watched engine's maps with autodiff's of the same features, and these with the network's.

    Of the same, since Grad-CAM counts the places where a feature is positive: one that is 1e-6 in one order
    of summing and -1e-6 in another changes a map of the untrained network by a thousandth.
    """
    behind = engine.infer(inputs).maps
    maps, features = behind[..., :-1024], behind[..., -1024:]
    expected, _ = network(inputs, training=False)
    assert np.abs(features - np.asarray(expected)).max() <= 1e-4 * np.asarray(expected).std()
    by_gradients = by_autodiff(network, features)
    assert by_gradients.max() == 1
    difference = float(np.abs(maps - by_gradients).max())
    print(f"largest difference from autodiff: {difference:.2g}")  # noqa: T201  # seen with -s
    assert difference <= 1e-4


# --- scores ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full(engine: TensorFlowEngine, phantoms: NDArray[np.float32]) -> Inference:
    """What the engine answers to a full batch."""
    return engine.infer(phantoms)


@pytest.fixture(scope="module")
def at_pattern(engine: TensorFlowEngine, untrained: Classifier) -> Inference:
    """What the engine answers to the test pattern."""
    card = untrained.card
    return engine.infer(pixels.prepare(pixels.test_pattern(card.pixels.size), card.pixels)[None])


def test_test_pattern_has_the_golden_scores(at_pattern: Inference, untrained: Classifier) -> None:
    card, found = untrained.card, at_pattern
    assert found.probabilities.dtype == np.float32
    assert found.probabilities.shape == (1, 14)
    assert found.probabilities[0].tolist() == pytest.approx(card.golden, abs=GOLDEN_TOLERANCE)


def test_scores_are_the_uncompiled_networks(
    full: Inference, network: Any, phantoms: NDArray[np.float32]
) -> None:
    _, logits = network(phantoms, training=False)
    expected = 1 / (1 + np.exp(-np.asarray(logits, dtype=np.float64)))
    assert np.abs(full.probabilities - expected).max() <= 1e-5


@pytest.mark.parametrize("count", [1, 3, 7])
def test_fewer_pictures_than_a_batch_get_the_same_numbers(
    engine: TensorFlowEngine, full: Inference, phantoms: NDArray[np.float32], count: int
) -> None:
    part = engine.infer(phantoms[:count])
    assert part.probabilities.shape == (count, 14)
    assert part.maps.shape == (count, 10, 10, 14)
    assert np.abs(part.probabilities - full.probabilities[:count]).max() <= 1e-6
    assert np.abs(part.maps - full.maps[:count]).max() <= 1e-6


def test_order_of_a_batch_does_not_matter(
    engine: TensorFlowEngine, full: Inference, phantoms: NDArray[np.float32]
) -> None:
    order = np.array([5, 0, 7, 2, 1, 6, 3, 4])
    mixed = engine.infer(phantoms[order])
    assert np.abs(mixed.probabilities - full.probabilities[order]).max() <= 1e-6
    # XLA adds up in another order at another place of the batch.
    assert np.abs(mixed.maps - full.maps[order]).max() <= 1e-5


def test_different_pictures_get_different_scores(full: Inference) -> None:
    assert np.ptp(full.probabilities, axis=0).min() > 1e-4


# --- maps --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seen_through(engine: TensorFlowEngine, untrained: Classifier) -> TensorFlowEngine:
    assert engine.batch
    return watched(untrained, pytest.MonkeyPatch())


def test_maps_of_phantoms_are_grad_cam_by_autodiff(
    full: Inference, seen_through: TensorFlowEngine, network: Any, phantoms: NDArray[np.float32]
) -> None:
    assert_maps_are_grad_cam(seen_through, network, phantoms)
    unwatched = full.maps - seen_through.infer(phantoms).maps[..., :-1024]
    assert np.median(np.abs(unwatched)) <= 1e-5, "being watched changes nothing"


def test_maps_of_real_radiographs_are_grad_cam_by_autodiff(
    seen_through: TensorFlowEngine, network: Any, untrained: Classifier, real_data: Path
) -> None:
    root = real_data / "nih" / "images"
    names = sorted(path.name for path in root.glob("*.png"))[:8]
    pictures = [read_picture(FolderSource(root), name, LIMIT) for name in names]
    inputs = np.stack([pixels.prepare(picture, untrained.card.pixels) for picture in pictures])
    assert len(inputs) == 8
    assert_maps_are_grad_cam(seen_through, network, inputs)


def test_each_map_is_between_0_and_1_and_reaches_1_or_is_empty(full: Inference) -> None:
    maps = full.maps
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    assert set(np.unique(maps.max(axis=(1, 2)))) <= {0.0, 1.0}


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "XLA"])
@pytest.mark.parametrize("final_relu", [True, False])
def test_map_without_a_positive_value_is_all_zero(
    engine: TensorFlowEngine, final_relu: bool, compiled: bool
) -> None:
    import tensorflow as tf

    from workers.inference.gradcam import class_activation_maps

    assert engine.batch
    rng = np.random.default_rng(1)
    features = rng.uniform(0.1, 1.0, (2, 3, 3, 4)).astype(np.float32)
    features[1] *= -1.0  # a picture that no feature answers to
    kernel = np.stack([np.ones(4), -np.ones(4), np.zeros(4)], axis=-1).astype(np.float32)

    run = tf.function(partial(class_activation_maps, final_relu=final_relu), jit_compile=compiled)
    maps = np.asarray(run(features, kernel))
    assert np.isfinite(maps).all()
    assert maps[0, ..., 0].max() == 1
    assert not maps[0, ..., 1:].any()
    # Without the ReLU a negative feature with a negative weight speaks for a finding.
    assert maps[1, ..., 1].max() == (0 if final_relu else 1)
    assert not maps[1, ..., [0, 2]].any()


# --- the other engine --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def openvino(demo: Classifier, demo_engine: Engine, kept_graphs: Path) -> Engine:
    """An engine that read what another one had exported."""
    assert demo_engine.batch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workers.inference.graphs._export", None)  # it is read
        return make_engine("openvino", demo, threads=1, graphs=kept_graphs)


@pytest.fixture(scope="module")
def reference(engine: TensorFlowEngine, demo: Classifier) -> Engine:
    assert engine.batch
    return make_engine("tensorflow", demo, threads=1)


@pytest.mark.processes
def test_openvino_gives_tensorflows_scores_and_maps_of_phantoms(
    openvino: Engine, reference: Engine, demo: Classifier
) -> None:
    assert (openvino.name, reference.name) == ("openvino", "tensorflow")
    inputs = of_phantoms(demo.card, 5)
    ours, theirs = (infer_views(engine, inputs[:, None]) for engine in (openvino, reference))
    assert ours.probabilities.shape == (5, 14)
    assert np.abs(ours.probabilities - theirs.probabilities).max() <= 1e-4
    assert np.abs(ours.maps - theirs.maps).max() <= 1e-3
    # A later call does not write into what an earlier one gave.
    first = openvino.infer(inputs[: openvino.batch]).probabilities
    kept = first.copy()
    openvino.infer(inputs[::-1][: openvino.batch])
    assert np.array_equal(first, kept)


@pytest.mark.processes
def test_openvino_gives_tensorflows_scores_and_maps_of_real_radiographs(
    openvino: Engine, reference: Engine, demo: Classifier, real_data: Path
) -> None:
    root = real_data / "nih" / "images"
    names = sorted(path.name for path in root.glob("*.png"))[:24]
    for first in range(0, len(names), 8):
        pictures = [read_picture(FolderSource(root), name, LIMIT) for name in names[first : first + 8]]
        inputs = np.stack([pixels.prepare(picture, demo.card.pixels) for picture in pictures])
        ours, theirs = (infer_views(engine, inputs[:, None]) for engine in (openvino, reference))
        assert np.abs(ours.probabilities - theirs.probabilities).max() <= 1e-4
        assert np.abs(ours.maps - theirs.maps).max() <= 1e-3


@pytest.mark.processes
def test_openvino_leaves_its_thread_to_every_core(openvino: Engine, demo: Classifier) -> None:
    openvino.infer(of_phantoms(demo.card, 1))
    # Pinned, each child's thread would sit on the first core, and the children share it.
    allowed = {os.sched_getaffinity(int(task.name)) == CORES for task in Path("/proc/self/task").iterdir()}
    assert allowed == {True}


@pytest.mark.processes
def test_openvinos_golden_scores_are_checked_too(openvino: Engine, demo: Classifier) -> None:
    golden = list(demo.card.golden or ())
    golden[3] += 1e-3 if golden[3] < 0.5 else -1e-3
    assert f"the test pattern {FINDINGS[3]} is" in golden_refusal(openvino, changed(demo, golden=golden).card)


def test_bfloat16_is_refused_where_the_processor_lacks_it(
    demo: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino as ov

    monkeypatch.setattr(ov.Core, "get_property", lambda *_: ["FP32"])
    with pytest.raises(ConfigError, match="has no bfloat16; set it to openvino"):
        make_engine("openvino-bf16", demo)


def test_an_engine_that_is_not_installed_is_named(demo: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigError, match="-m pip install 'openvino>="):
        make_engine("openvino", demo)


@pytest.mark.processes
def test_a_network_without_maps_is_kept_apart(demo: Classifier, tmp_path: Path) -> None:
    engine = make_engine("openvino", demo, maps=False, graphs=tmp_path)
    assert engine.infer(of_phantoms(demo.card, 2)).maps.size == 0
    assert [path.name for path in tmp_path.glob("demo/*.graph")] == ["scores.graph"]


def test_other_weights_are_refused_before_anything_is_exported(
    demo: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.inference.graphs._export", None)
    with pytest.raises(ConfigError, match=r"SHA-256 of weights.npz"):
        make_engine("openvino", changed(demo, sha256="0" * 64))


@pytest.mark.processes
def test_a_model_that_the_export_refuses_is_refused_in_its_words(saved: Classifier) -> None:
    other = changed(saved, architecture="densenet169")
    with pytest.raises(ConfigError, match=r"^model untrained: "):
        make_engine("openvino", other)


# --- cards of other shapes ---------------------------------------------------------------------------------


def test_card_of_18_findings_without_final_relu_and_with_one_channel_has_its_grad_cams(
    engine: TensorFlowEngine, untrained: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.batch
    one_channel = untrained.card.pixels.model_dump() | {
        "size": 96,
        "channels": 1,
        "mean": (128.0,),
        "std": (64.0,),
    }
    findings = (*FINDINGS, "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum")
    model = own_model(untrained, findings=findings, final_relu=False, pixels=one_channel)
    other = watched(model, monkeypatch)
    inputs = of_phantoms(model.card, 3)
    assert other.infer(inputs).probabilities.shape == (3, 18)
    assert other.infer(inputs).maps.shape == (3, 3, 3, 18 + 1024)
    assert_maps_are_grad_cam(other, build(model), inputs)


def test_final_relu_changes_the_scores(engine: TensorFlowEngine, untrained: Classifier) -> None:
    assert engine.batch
    without = own_model(untrained, final_relu=False)
    assert without.card.sha256 == untrained.card.sha256
    assert without.card.golden != pytest.approx(untrained.card.golden, abs=GOLDEN_TOLERANCE)


def test_card_of_one_finding_has_its_grad_cam(engine: TensorFlowEngine, untrained: Classifier) -> None:
    from workers.inference.gradcam import class_activation_maps

    assert engine.batch
    small = untrained.card.pixels.model_dump() | {"size": 64}
    model = own_model(untrained, findings=("Pneumonia",), pixels=small)
    network, inputs = build(model), of_phantoms(model.card, 2)
    features, logits = network(inputs, training=False)
    maps = class_activation_maps(features, network.layers[-1].kernel, final_relu=True)
    assert logits.shape == (2, 1)
    assert np.abs(np.asarray(maps) - by_autodiff(network, np.asarray(features))).max() <= 1e-4


# --- weights -----------------------------------------------------------------------------------------------


def test_saved_weights_give_identical_scores(
    network: Any, saved: Classifier, phantoms: NDArray[np.float32]
) -> None:
    loaded = build(saved)
    for ours, theirs in zip(network.get_weights(), loaded.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)
    outputs = (built(phantoms[:1], training=False) for built in (network, loaded))
    for ours, theirs in zip(*outputs, strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.processes
def test_seeded_weights_have_the_cards_hash_in_a_fresh_process(untrained: Classifier) -> None:
    program = """
import sys
from pathlib import Path
from config.cards.model import read_model
from workers.inference.networks.network import network_of
from workers.inference.weights import arrays_sha256

card = read_model(Path(sys.argv[1])).card
network = network_of(card)
print(arrays_sha256(network.seeded_weights(network.build(card), card.seed)))
"""
    command = [sys.executable, "-c", program, str(untrained.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == untrained.card.sha256


def test_hash_is_over_the_bytes_of_the_arrays(engine: TensorFlowEngine) -> None:
    from workers.inference.weights import arrays_sha256

    assert engine.batch
    arrays = [np.array([[1.0, 2.0]], dtype=np.float32), np.array([3.0], dtype=np.float32)]
    assert arrays_sha256(arrays) == hashlib.sha256(np.array([1, 2, 3], dtype="<f4").tobytes()).hexdigest()


def refusal(network: Any, model: Classifier) -> str:
    from workers.inference.weights import load_weights

    with pytest.raises(ConfigError) as caught:
        load_weights(network, model)
    assert model.card.name in str(caught.value)
    return str(caught.value)


def test_seeded_weights_with_another_hash_are_refused_and_both_are_named(
    network: Any, untrained: Classifier
) -> None:
    message = refusal(network, changed(untrained, sha256="a" * 64))
    assert "a" * 64 in message
    assert untrained.card.sha256 in message


def test_engine_of_a_model_with_another_hash_does_not_start(
    engine: TensorFlowEngine, untrained: Classifier
) -> None:
    assert engine.batch
    with pytest.raises(ConfigError, match="SHA-256"):
        TensorFlowEngine(changed(untrained, seed=2018), threads=1)


def test_file_with_one_other_byte_is_refused(network: Any, saved: Classifier, tmp_path: Path) -> None:
    content = bytearray((saved.folder / "weights.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "weights.npz").write_bytes(content)
    message = refusal(network, changed(saved, tmp_path))
    assert "weights.npz" in message
    assert hashlib.sha256(content).hexdigest() in message
    assert saved.card.sha256 in message


def test_missing_file_is_named(network: Any, saved: Classifier, tmp_path: Path) -> None:
    message = refusal(network, changed(saved, tmp_path))
    assert str(tmp_path / "weights.npz") in message
    assert "No such file" in message


@pytest.mark.parametrize("kind", ["truncated", "text", "a lone array", "empty"])
def test_file_that_is_no_npz_is_refused_though_its_hash_is_right(
    network: Any, saved: Classifier, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "weights.npz"
    if kind == "truncated":
        path.write_bytes((saved.folder / "weights.npz").read_bytes()[:-1000])
    elif kind == "text":
        path.write_text("no weights", encoding="utf-8")
    elif kind == "a lone array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        path.touch()
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert "weights.npz is not a whole .npz" in refusal(network, changed(saved, tmp_path, sha256=sha256))


def test_weights_for_another_number_of_findings_are_refused_and_the_shapes_are_named(
    engine: TensorFlowEngine, saved: Classifier
) -> None:
    from workers.inference.networks import densenet

    assert engine.batch
    card = saved.card
    thirteen = changed(
        saved,
        saved.folder,
        findings=card.findings[:13],
        thresholds=card.thresholds[:13],
        golden=card.golden[:13],
        golden_film=None,
    )
    message = refusal(densenet.build(thirteen.card), thirteen)
    assert "(1024, 14)" in message
    assert "(1024, 13)" in message
    assert "13 outputs" in message


def test_weights_that_lack_an_array_are_refused_and_the_numbers_are_named(
    network: Any, saved: Classifier, tmp_path: Path
) -> None:
    arrays = network.get_weights()
    path = tmp_path / "weights.npz"
    np.savez(path, **{f"w{index:04d}": array for index, array in enumerate(arrays[:-1])})
    short = changed(saved, tmp_path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    message = refusal(network, short)
    assert f"{len(arrays) - 1} arrays" in message
    assert f"has {len(arrays)}" in message


# --- golden scores -----------------------------------------------------------------------------------------


@dataclass
class Answered:
    """An engine that has answered already, whatever it is asked."""

    answer: Inference
    name: str = "answered"
    batch: int = 1

    def infer(self, inputs: NDArray[np.float32]) -> Inference:
        assert len(inputs) == 1
        return self.answer


def golden_refusal(engine: Engine, card: ClassificationCard) -> str:
    """Check an engine against another card: compiling it again would not change what is tested."""
    with pytest.raises(ConfigError) as caught:
        check_golden(engine, card, GOLDEN_TOLERANCE)
    return str(caught.value)


@pytest.mark.parametrize("index", [0, 6, 13])
@pytest.mark.parametrize("difference", [-1e-3, 1e-3])
def test_golden_score_that_is_off_by_a_thousandth_is_named_with_both_numbers(
    at_pattern: Inference, untrained: Classifier, index: int, difference: float
) -> None:
    golden = list(untrained.card.golden or ())
    right = golden[index]
    golden[index] += difference
    message = golden_refusal(Answered(at_pattern), changed(untrained, golden=golden).card)
    named = re.search(r"for the test pattern (\w+) is (\S+), its card says (\S+);", message)
    assert named is not None
    assert named[1] == FINDINGS[index]
    assert float(named[2]) == pytest.approx(right, abs=1e-4)
    assert named[3] == f"{golden[index]:.6f}"


def test_findings_in_another_order_than_the_outputs_are_refused(
    at_pattern: Inference, untrained: Classifier
) -> None:
    # Names and their golden scores change places, the weights do not.
    order = [0, 7, 2, 3, 4, 5, 6, 1, 8, 9, 10, 11, 12, 13]
    card, golden = untrained.card, untrained.card.golden or ()
    swapped = changed(
        untrained,
        findings=tuple(card.findings[index] for index in order),
        golden=tuple(golden[index] for index in order),
    )
    message = golden_refusal(Answered(at_pattern), swapped.card)
    assert "Pneumothorax" in message
    assert "order of findings" in message


def test_other_preprocessing_than_the_golden_scores_had_is_refused(
    engine: TensorFlowEngine, untrained: Classifier
) -> None:
    shifted = untrained.card.pixels.model_dump() | {"mean": (123.7, 116.8, 103.9)}
    assert "preprocessing" in golden_refusal(engine, changed(untrained, pixels=shifted).card)


def test_network_that_answers_no_number_is_refused(engine: TensorFlowEngine, untrained: Classifier) -> None:
    import tensorflow as tf

    other = copy.copy(engine)
    nothing = tf.zeros((engine.batch, 4))
    probabilities = tf.fill((engine.batch, 14), np.float32("nan"))
    other._forward = lambda _: {"probabilities": probabilities, "features": nothing}
    assert "nan" in golden_refusal(other, untrained.card)
