"""The engines that run a network: probabilities and all Grad-CAMs of a batch in one compiled call."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from config.cards.classification import ClassificationCard
from config.cards.model import Classifier
from config.errors import ConfigError
from config.extras import install_command
from workers.inference.devices import prepare_gpus
from workers.inference.golden import expected_scores
from workers.inference.networks.network import Tensor, TensorFunction, network_of
from workers.inference.weights import load_weights

GOLDEN_TOLERANCE: Final = 1e-4
GOLDEN_TOLERANCE_HALF: Final = 2e-2
"""The tolerance in float16 on a GPU, or in bfloat16."""

EngineKind = Literal["tensorflow", "openvino", "openvino-bf16"]

CPU_BATCH: Final = 8
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
    """The same network on OpenVINO, for CPUs: converted from TensorFlow's graph when the process starts."""

    def __init__(self, model: Classifier, *, threads: int = 1, maps: bool = True, half: bool = False) -> None:
        """Convert and compile the network; `half`: in bfloat16, where the processor has it.

        Raises ConfigError where OpenVINO is not installed, or the processor lacks bfloat16.
        """
        try:
            import openvino as ov
        except ImportError as error:
            raise ConfigError(
                f"OpenVINO is not installed ({error}); run: {install_command('openvino')}; or unset "
                "NIGHTREAD_ENGINE"
            ) from error
        load_tensorflow(threads)
        self.name = "openvino-bf16" if half else "openvino"
        self.batch = CPU_BATCH
        core = ov.Core()
        settings = openvino_settings(core, threads, half=half)
        forward = _forward(model, self.batch, maps=maps, compiled=False)
        converted = ov.convert_model(forward.get_concrete_function())
        self._compiled = core.compile_model(converted, "CPU", settings)
        check_golden(self, model.card, GOLDEN_TOLERANCE_HALF if half else GOLDEN_TOLERANCE)

    def infer(self, inputs: NDArray[np.float32]) -> Inference:
        """Score up to `batch` pictures; fewer are padded to the one shape that was compiled."""
        outputs = self._compiled(_padded(inputs, self.batch))
        # Copied out of the buffers that the next call writes into.
        named = {output.any_name: np.array(values) for output, values in outputs.items()}
        return _inferred(named, len(inputs))


def make_engine(kind: EngineKind, model: Classifier, *, threads: int = 1, maps: bool = True) -> Engine:
    """Make an engine of a kind; ConfigError where it cannot run here, or the model differs from its card."""
    if kind == "tensorflow":
        return TensorFlowEngine(model, threads=threads, maps=maps)
    return OpenVINOEngine(model, threads=threads, maps=maps, half=kind == "openvino-bf16")


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
    for what, views, expected in expected_scores(card):
        found = infer_views(engine, views[None])
        for name, ours, golden in zip(card.findings, found.probabilities[0], expected, strict=True):
            # Written so that a NaN is a difference too.
            if not abs(float(ours) - golden) <= tolerance:
                raise ConfigError(
                    f"model {card.name}: for {what} {name} is {float(ours):.6f}, its card "
                    f"says {golden:.6f}; weights, preprocessing or order of findings are not the card's"
                )


def openvino_settings(core: Any, threads: int, *, half: bool) -> dict[Any, Any]:  # noqa: ANN401
    """Return the settings to compile a network with; ConfigError where the processor lacks bfloat16."""
    import openvino as ov
    from openvino import properties

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
