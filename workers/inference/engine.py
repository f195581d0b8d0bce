"""The engines that run a network: probabilities and all Grad-CAMs of a batch in one compiled call."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from config.cards.classification import ClassificationCard
from config.cards.model import Classifier, Model, make_card, require_classifier
from config.engines import EngineKind
from config.errors import ConfigError
from workers.inference.devices import prepare_gpus
from workers.inference.golden import expected_scores
from workers.inference.graphs import Export, Graph, use_graph
from workers.inference.networks.network import Tensor, TensorFunction, network_of
from workers.inference.openvino_import import import_openvino
from workers.inference.weights import load_weights, require_weights

GOLDEN_TOLERANCE: Final = 1e-4
GOLDEN_TOLERANCE_HALF: Final = 2e-2
"""The tolerance in float16 on a GPU, or in bfloat16."""

CPU_BATCH: Final = 8
OPENVINO_BATCH: Final = 4
"""As fast per picture as 8, with half of the memory that its activations take."""
GPU_BATCH: Final = 32


@dataclass(frozen=True, slots=True)
class Inference:
    """Probabilities (N, findings) and maps (N, h, w, findings), float32, each map's maximum 1 or 0.

    `features` (N, k): the network's own, pooled; the gate looks at them.
    """

    probabilities: NDArray[np.float32]
    maps: NDArray[np.float32]
    features: NDArray[np.float32]


class Engine(Protocol):
    """Runs a network: prepared pictures in, their scores and maps out."""

    name: str
    batch: int

    def infer(self, inputs: NDArray[np.float32]) -> Inference:
        """Score (N, size, size, channels) prepared pictures, N from 1 to `batch`."""


class TensorFlowEngine:
    """A network on TensorFlow, compiled by XLA for one batch shape: the reference, on CPU and GPU.

    On a GPU in mixed_float16. GPU paths have not yet been run on one.
    """

    def __init__(self, model: Classifier, *, threads: int = 1, maps: bool = True) -> None:
        """Load TensorFlow into this process, build and fill the network and compile it."""
        gpus = load_tensorflow(threads)
        self.name = "tensorflow-gpu" if gpus else "tensorflow"
        self.batch = GPU_BATCH if gpus else CPU_BATCH
        self._forward = _forward(model, self.batch, maps=maps, compiled=True)
        check_golden(self, model.card, GOLDEN_TOLERANCE_HALF if gpus else GOLDEN_TOLERANCE)

    def infer(self, inputs: NDArray[np.float32]) -> Inference:
        """Score up to `batch` pictures; fewer are padded, so that one shape is compiled once."""
        outputs = self._forward(_padded(inputs, self.batch))
        return _inferred({name: output.numpy() for name, output in outputs.items()}, len(inputs))


class OpenVINOEngine:
    """The same network on OpenVINO, for CPUs: TensorFlow's graph, in a process without TensorFlow."""

    def __init__(
        self,
        model: Classifier,
        *,
        threads: int = 1,
        maps: bool = True,
        half: bool = False,
        graphs: Path | None = None,
    ) -> None:
        """Compile the network; `half`: in bfloat16, where the processor has it.

        `graphs`: the folder in which exported networks are kept; None: it is exported for this process alone.
        Raises ConfigError where OpenVINO is not installed, or the processor lacks bfloat16.
        """
        ov = import_openvino()
        self.name = "openvino-bf16" if half else "openvino"
        self.batch = OPENVINO_BATCH
        core = ov.Core()
        settings = openvino_settings(core, threads, half=half)

        def compile_checked(graph: Graph) -> None:
            network = core.read_model(graph.xml, graph.constants)
            self._compiled = core.compile_model(network, "CPU", settings)
            check_golden(self, model.card, GOLDEN_TOLERANCE_HALF if half else GOLDEN_TOLERANCE)

        # Weights that are another model's are refused, though a graph of the right ones may be kept.
        require_weights(model)
        path = graphs / model.card.name / ("maps.graph" if maps else "scores.graph") if graphs else None
        use_graph(path, _export_of(model, maps=maps), compile_checked)

    def infer(self, inputs: NDArray[np.float32]) -> Inference:
        """Score up to `batch` pictures; fewer are padded to the one shape that was compiled."""
        outputs = self._compiled(_padded(inputs, self.batch))
        # Copied out of the buffers that the next call writes into.
        named = {output.any_name: np.array(values) for output, values in outputs.items()}
        return _inferred(named, len(inputs))


def make_engine(
    kind: EngineKind,
    model: Classifier,
    *,
    threads: int = 1,
    maps: bool = True,
    graphs: Path | None = None,
) -> Engine:
    """Make an engine of a kind; ConfigError where it cannot run here, or the model differs from its card.

    `graphs`: the folder in which OpenVINO's engines keep the networks that they have exported.
    """
    if kind == "tensorflow":
        return TensorFlowEngine(model, threads=threads, maps=maps)
    half = kind == "openvino-bf16"
    return OpenVINOEngine(model, threads=threads, maps=maps, half=half, graphs=graphs)


def infer_views(engine: Engine, views: NDArray[np.float32]) -> Inference:
    """Score pictures of one or several views each: (N, views, size, size, channels), as `prepare_views` has.

    A probability is the mean of the views'; maps and features are those of the first.
    """
    pictures, count = views.shape[:2]
    inputs = views.reshape(-1, *views.shape[2:])
    parts = [
        engine.infer(inputs[start : start + engine.batch]) for start in range(0, len(inputs), engine.batch)
    ]
    probabilities = np.concatenate([part.probabilities for part in parts])
    maps = np.concatenate([part.maps for part in parts])
    features = np.concatenate([part.features for part in parts])
    means = probabilities.reshape(pictures, count, -1).mean(axis=1)
    return Inference(means, maps[::count], features[::count])


def check_golden(engine: Engine, card: ClassificationCard, tolerance: float) -> None:
    """Raise ConfigError unless the engine gives the card's golden scores for the test pattern and film."""
    expected = tuple(expected_scores(card))
    # In one call: a batch has room for both.
    found = infer_views(engine, np.stack([views for _, views, _ in expected]))
    for (what, _, scores), probabilities in zip(expected, found.probabilities, strict=True):
        for name, ours, golden in zip(card.findings, probabilities, scores, strict=True):
            # Written so that a NaN is a difference too.
            if not abs(float(ours) - golden) <= tolerance:
                raise ConfigError(
                    f"model {card.name}: for {what} {name} is {float(ours):.6f}, its card "
                    f"says {golden:.6f}; weights, preprocessing or order of findings are not the card's"
                )


def openvino_settings(core: Any, threads: int, *, half: bool) -> dict[Any, Any]:  # noqa: ANN401
    """Return the settings to compile a network with; ConfigError where the processor lacks bfloat16."""
    ov = import_openvino()
    properties = ov.properties
    if half and "BF16" not in core.get_property("CPU", properties.device.capabilities()):
        raise ConfigError(
            "NIGHTREAD_ENGINE is openvino-bf16, but this processor has no bfloat16; set it to openvino"
        )
    return {
        properties.inference_num_threads(): threads,
        properties.hint.inference_precision(): ov.Type.bf16 if half else ov.Type.f32,
        properties.hint.performance_mode(): properties.hint.PerformanceMode.LATENCY,
        properties.hint.num_requests(): 1,
        # If pinned, all children would run on the same core.
        properties.hint.enable_cpu_pinning(): False,
    }


def _export_of(model: Classifier, *, maps: bool) -> Export:
    """Say how a classifier's graph is made; the process that makes it may find another card in the folder."""
    card = model.card.model_dump(mode="json")
    arguments = {"folder": str(model.folder.absolute()), "card": card, "batch": OPENVINO_BATCH, "maps": maps}
    facts: dict[str, str | int] = {"card": model.card.fingerprint, "batch": OPENVINO_BATCH, "maps": maps}
    return Export(f"{__name__}:export_classifier", arguments, facts)


def export_classifier(folder: str, card: dict[str, Any], batch: int, *, maps: bool) -> TensorFunction:
    """Load TensorFlow and return a classifier's forward pass as its concrete function, to be exported.

    Raises ConfigError where the weights are not the card's.
    """
    model = require_classifier(Model(Path(folder), make_card(card)))
    load_tensorflow(threads=1)
    return _forward(model, batch, maps=maps, compiled=False).get_concrete_function()


def load_tensorflow(threads: int) -> int:
    """Load TensorFlow with our settings; returns the number of GPUs that it sees."""
    _configure_process(threads)
    gpus = prepare_gpus()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return gpus


def _forward(model: Classifier, batch: int, *, maps: bool, compiled: bool) -> TensorFunction:
    """Build and fill the network; returns TensorFlow's function from one batch to its outputs, by name."""
    import tensorflow as tf

    card = model.card
    architecture = network_of(card)
    network = architecture.build(card)
    load_weights(network, model)
    forward_pass = architecture.inference(network, card)
    maps_of = architecture.maps(network, card)
    shape = (batch, card.pixels.size, card.pixels.size, card.pixels.channels)

    def forward(inputs: Tensor) -> dict[str, Tensor]:
        normed, features, logits = forward_pass(inputs)
        outputs = {"probabilities": tf.sigmoid(tf.cast(logits, tf.float32)), "features": features}
        if maps:
            outputs["maps"] = maps_of(normed)
        return outputs

    signature = [tf.TensorSpec(shape, tf.float32)]
    return tf.function(forward, jit_compile=compiled, input_signature=signature, autograph=False)


def _padded(inputs: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
    if len(inputs) == batch:
        return inputs
    padding = np.zeros((batch - len(inputs), *inputs.shape[1:]), dtype=np.float32)
    return np.concatenate([inputs, padding])


def _inferred(outputs: Mapping[str, NDArray[np.float32]], count: int) -> Inference:
    none = np.empty((count, 0, 0, 0), dtype=np.float32)
    maps = outputs["maps"][:count] if "maps" in outputs else none
    return Inference(outputs["probabilities"][:count], maps, outputs["features"][:count])


def _configure_process(threads: int) -> None:
    """Set the environment variables that TensorFlow reads when it is loaded."""
    if threads == 1:
        # XLA's own thread pool ignores TensorFlow's settings; with one thread per process it would make
        # several children compete for the cores.
        os.environ["XLA_FLAGS"] = (
            os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
        ).strip()
