"""The engines that run a network on patches of volumes: probabilities of the classes for each voxel."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from config.cards.model import Segmenter
from config.cards.segmentation import SegmentationCard
from config.engines import EngineKind
from config.errors import ConfigError
from workers.inference.engine import (
    GOLDEN_TOLERANCE,
    GOLDEN_TOLERANCE_HALF,
    load_tensorflow,
    openvino_settings,
)
from workers.inference.networks.network import KerasModel, Tensor, TensorFunction, network_of
from workers.inference.openvino_import import import_openvino
from workers.inference.volumes.golden import golden_patch
from workers.inference.volumes.window import VolumeEngine
from workers.inference.weights import load_weights

_GPU_BATCH: Final = 4
"""Patches; a CPU takes one after the other, as they are large enough for all its threads."""


class NetworkEngine:
    """A filled Keras model as an engine, as training and importing need it, too."""

    name = "keras"
    batch = 1

    def __init__(self, network: KerasModel) -> None:
        self._forward = forward_of(network)

    def segment(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities (N, x, y, z, classes) of patches (N, x, y, z, channels)."""
        probabilities: NDArray[np.float32] = self._forward(patches).numpy()
        return probabilities


class TensorFlowVolumeEngine(NetworkEngine):
    """A network on TensorFlow: the reference, on CPU and GPU."""

    def __init__(self, model: Segmenter, *, threads: int = 1) -> None:
        """Load TensorFlow into this process, build and fill the network.

        Raises ConfigError where the weights are not the card's, or do not give its golden scores.
        """
        gpus = load_tensorflow(threads)
        self.name = "tensorflow-gpu" if gpus else "tensorflow"
        self.batch = _GPU_BATCH if gpus else 1
        super().__init__(_filled(model))
        check_golden(self, model.card, GOLDEN_TOLERANCE_HALF if gpus else GOLDEN_TOLERANCE)


class OpenVINOVolumeEngine:
    """The same network on OpenVINO, for CPUs: converted from TensorFlow's graph when the process starts."""

    def __init__(self, model: Segmenter, *, threads: int = 1, half: bool = False) -> None:
        """Convert the network; `half`: in bfloat16, where the processor has it.

        Raises ConfigError where OpenVINO is not installed, the processor lacks bfloat16, or the model is not
        the card's.
        """
        ov = import_openvino()
        load_tensorflow(threads)
        self.name = "openvino-bf16" if half else "openvino"
        self.batch = 1
        self._ov = ov
        self._core = ov.Core()
        self._settings = openvino_settings(self._core, threads, half=half)
        self._channels = len(model.card.channels)
        self._forward = forward_of(_filled(model))
        self._compiled: dict[tuple[int, ...], Any] = {}
        check_golden(self, model.card, GOLDEN_TOLERANCE_HALF if half else GOLDEN_TOLERANCE)
        # Each shape has buffers of its own, hundreds of megabytes for a large network.
        self._compiled.clear()

    def segment(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities (N, x, y, z, classes) of patches (N, x, y, z, channels)."""
        run = self._for_shape(patches.shape[1:])
        return np.concatenate([run(patch[None])[0] for patch in patches])

    def _for_shape(self, shape: tuple[int, ...]) -> Any:  # noqa: ANN401  # OpenVINO has no types
        """Compile the network for patches of a shape when the first of them comes."""
        if shape not in self._compiled:
            concrete = self._forward.get_concrete_function(_spec((1, *shape)))
            self._compiled[shape] = self._core.compile_model(
                self._ov.convert_model(concrete), "CPU", self._settings
            )
        return self._compiled[shape]


def make_volume_engine(kind: EngineKind, model: Segmenter, *, threads: int = 1) -> VolumeEngine:
    """Make an engine of a kind; ConfigError where it cannot run here, or the model differs from its card."""
    if kind == "tensorflow":
        return TensorFlowVolumeEngine(model, threads=threads)
    return OpenVINOVolumeEngine(model, threads=threads, half=kind == "openvino-bf16")


def golden_means(engine: VolumeEngine, card: SegmentationCard) -> tuple[float, ...]:
    """Return the mean probability of each class in the drawn test volume, rounded to six digits."""
    found = engine.segment(golden_patch(card)[None])[0]
    return tuple(round(float(mean), 6) for mean in found.mean(axis=(0, 1, 2), dtype=np.float64))


def check_golden(engine: VolumeEngine, card: SegmentationCard, tolerance: float) -> None:
    """Raise ConfigError unless the engine gives the card's golden scores for the drawn test volume."""
    for name, ours, golden in zip(card.classes, golden_means(engine, card), card.golden, strict=True):
        # Written so that a NaN is a difference too.
        if not abs(ours - golden) <= tolerance:
            raise ConfigError(
                f"model {card.name}: for the test volume the mean of {name} is {ours:.6f}, its card says "
                f"{golden:.6f}; weights, standardization or order of classes are not the card's"
            )


def _filled(model: Segmenter) -> KerasModel:
    network = network_of(model.card).build(model.card)
    load_weights(network, model)
    return network


def forward_of(network: KerasModel) -> TensorFunction:
    """Return TensorFlow's function from patches to probabilities, traced once per shape."""
    import tensorflow as tf  # noqa: PLC0415  # its settings were made when the network was built

    def forward(inputs: Tensor) -> Tensor:
        return tf.sigmoid(tf.cast(network(inputs, training=False), tf.float32))

    return tf.function(forward, autograph=False)


def _spec(shape: tuple[int, ...]) -> Tensor:
    import tensorflow as tf  # noqa: PLC0415  # loaded already

    return tf.TensorSpec(shape, tf.float32)
