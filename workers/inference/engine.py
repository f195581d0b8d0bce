"""The TensorFlow engine: probabilities and all Grad-CAMs of a batch in one compiled call."""

import os
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from config.cards import Model
from config.errors import ConfigError
from workers.inference.pixels import prepare, test_pattern

GOLDEN_TOLERANCE: Final = 1e-4
GOLDEN_TOLERANCE_FLOAT16: Final = 2e-2

CPU_BATCH: Final = 8
GPU_BATCH: Final = 32


@dataclass(frozen=True, slots=True)
class Inferred:
    """Probabilities (N, findings) and maps (N, h, w, findings), float32, each map's maximum 1 or 0."""

    probabilities: NDArray[np.float32]
    maps: NDArray[np.float32]


class Engine(Protocol):
    """What runs a network: any number of prepared pictures in, their scores and maps out."""

    batch: int

    def infer(self, inputs: NDArray[np.float32]) -> Inferred:
        """Score (N, size, size, channels) prepared pictures, N from 1 to `batch`."""


class TensorFlowEngine:
    """DenseNet-121 on TensorFlow, compiled by XLA for one batch shape.

    On a GPU in mixed_float16. GPU paths have not yet been run on one.
    """

    def __init__(self, model: Model, *, threads: int = 1, maps: bool = True) -> None:
        """Load TensorFlow into this process, build and fill the network and compile it."""
        _configure_process(threads)
        import keras  # noqa: PLC0415  # TensorFlow is loaded in the worker's child only, and after its settings
        import tensorflow as tf  # noqa: PLC0415

        from workers.inference import densenet, gradcam, weights  # noqa: PLC0415  # these import TensorFlow

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        gpus = tf.config.list_physical_devices("GPU")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
        keras.mixed_precision.set_global_policy("mixed_float16" if gpus else "float32")

        card = model.card
        self.batch = GPU_BATCH if gpus else CPU_BATCH
        self._tolerance = GOLDEN_TOLERANCE_FLOAT16 if gpus else GOLDEN_TOLERANCE
        self._card = card
        self._shape = (card.pixels.size, card.pixels.size, card.pixels.channels)
        network = densenet.build(card)
        weights.load_weights(network, model)
        kernel = network.get_layer(densenet.HEAD).kernel

        def forward(inputs: tf.Tensor) -> tuple[tf.Tensor, ...]:
            normed, logits = network(inputs, training=False)
            probabilities = tf.sigmoid(tf.cast(logits, tf.float32))
            if not maps:
                return (probabilities,)
            return probabilities, gradcam.class_activation_maps(normed, kernel, final_relu=card.final_relu)

        self._forward = tf.function(
            forward, jit_compile=True, input_signature=[tf.TensorSpec((self.batch, *self._shape), tf.float32)]
        )
        self._check_golden()

    def infer(self, inputs: NDArray[np.float32]) -> Inferred:
        """Score up to `batch` pictures; fewer are padded, so that one shape is compiled once."""
        count = len(inputs)
        if count < self.batch:
            padding = np.zeros((self.batch - count, *self._shape), dtype=np.float32)
            inputs = np.concatenate([inputs, padding])
        probabilities, *maps = (output.numpy()[:count] for output in self._forward(inputs))
        return Inferred(probabilities, maps[0] if maps else np.empty((count, 0, 0, 0), dtype=np.float32))

    def _check_golden(self) -> None:
        found = self.infer(prepare(test_pattern(self._card.pixels.size), self._card.pixels)[None])
        if self._card.golden is None:
            return
        for name, ours, golden in zip(
            self._card.findings, found.probabilities[0], self._card.golden, strict=True
        ):
            # Written so that a NaN is a difference too.
            if not abs(float(ours) - golden) <= self._tolerance:
                raise ConfigError(
                    f"model {self._card.name}: for the test pattern {name} is {float(ours):.6f}, its card "
                    f"says {golden:.6f}; weights, preprocessing or order of findings are not the card's"
                )


def _configure_process(threads: int) -> None:
    """Set what TensorFlow reads from the environment when it is loaded."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if threads == 1:
        # XLA's own thread pool ignores TensorFlow's settings; with one thread a process it would make
        # several children fight for the cores.
        os.environ["XLA_FLAGS"] = (
            os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
        ).strip()
