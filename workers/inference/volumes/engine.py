"""The engines that run a network on patches of volumes: probabilities of the classes for each voxel."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from config.cards.model import Model, Segmenter, make_card, require_segmenter
from config.cards.segmentation import SegmentationCard
from config.engines import EngineKind
from config.errors import ConfigError
from workers.inference.engine import (
    GOLDEN_TOLERANCE,
    GOLDEN_TOLERANCE_HALF,
    load_tensorflow,
    openvino_settings,
)
from workers.inference.graphs import Export, Graph, use_graph
from workers.inference.networks.network import KerasModel, Tensor, TensorFunction, network_of
from workers.inference.openvino_import import import_openvino
from workers.inference.volumes.golden import golden_patch
from workers.inference.volumes.window import VolumeEngine
from workers.inference.weights import load_weights, require_weights

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

    def release(self) -> None:
        """Give nothing back: TensorFlow takes memory per call, and keeps it on a GPU."""


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
    """The same network on OpenVINO, for CPUs: TensorFlow's graph, in a process without TensorFlow."""

    def __init__(
        self, model: Segmenter, *, threads: int = 1, half: bool = False, graphs: Path | None = None
    ) -> None:
        """Take the network's graph; `half`: in bfloat16, where the processor has it.

        `graphs`: the folder in which exported networks are kept; None: it is exported for this process alone.
        Raises ConfigError where OpenVINO is not installed, the processor lacks bfloat16, or the model is not
        the card's.
        """
        ov = import_openvino()
        self.name = "openvino-bf16" if half else "openvino"
        self.batch = 1
        self._core = ov.Core()
        self._settings = openvino_settings(self._core, threads, half=half)
        self._compiled: Any = None
        self._shape: tuple[int, ...] = ()

        def read_checked(graph: Graph) -> None:
            self._network = self._core.read_model(graph.xml, graph.constants)
            self._compiled = None
            check_golden(self, model.card, GOLDEN_TOLERANCE_HALF if half else GOLDEN_TOLERANCE)

        # Weights that are another model's are refused, though a graph of the right ones may be kept.
        require_weights(model)
        path = graphs / model.card.name / "patches.graph" if graphs else None
        use_graph(path, _export_of(model), read_checked)

    def segment(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities (N, x, y, z, classes) of patches (N, x, y, z, channels)."""
        run = self._for_shape((1, *patches.shape[1:]))
        return np.concatenate([run(patch[None])[0] for patch in patches])

    def release(self) -> None:
        """Give back the network's buffers; the next patch takes them again, without being compiled."""
        if self._compiled is not None:
            self._compiled.release_memory()

    def _for_shape(self, shape: tuple[int, ...]) -> Any:  # noqa: ANN401  # OpenVINO has no types
        """Compile the network for patches of a shape when the first of them comes."""
        if self._compiled is None or shape != self._shape:
            # One shape has hundreds of megabytes of buffers. A worker meets two: the test volume's, and the
            # card's.
            self._compiled = None
            self._network.reshape(shape)
            self._compiled = self._core.compile_model(self._network, "CPU", self._settings)
            self._shape = shape
        return self._compiled


def make_volume_engine(
    kind: EngineKind, model: Segmenter, *, threads: int = 1, graphs: Path | None = None
) -> VolumeEngine:
    """Make an engine of a kind; ConfigError where it cannot run here, or the model differs from its card.

    `graphs`: the folder in which OpenVINO's engines keep the networks that they have exported.
    """
    if kind == "tensorflow":
        return TensorFlowVolumeEngine(model, threads=threads)
    return OpenVINOVolumeEngine(model, threads=threads, half=kind == "openvino-bf16", graphs=graphs)


def _export_of(model: Segmenter) -> Export:
    """Say how a segmenter's graph is made; the process that makes it may find another card in the folder."""
    card = model.card.model_dump(mode="json")
    arguments = {"folder": str(model.folder.absolute()), "card": card}
    return Export(f"{__name__}:export_segmenter", arguments, {"card": model.card.fingerprint})


def export_segmenter(folder: str, card: dict[str, Any]) -> TensorFunction:
    """Load TensorFlow and return a network of patches of any shape as a concrete function, to be exported.

    Raises ConfigError where the weights are not the card's.
    """
    model = require_segmenter(Model(Path(folder), make_card(card)))
    load_tensorflow(threads=1)
    import tensorflow as tf  # noqa: PLC0415  # with the settings that were made

    shape = (1, None, None, None, len(model.card.channels))
    return forward_of(_filled(model)).get_concrete_function(tf.TensorSpec(shape, tf.float32))


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
