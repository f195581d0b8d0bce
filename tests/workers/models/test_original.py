"""A Keras file that can compute is compared with the network that was read: equal, or refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.cards.classification import ClassificationCard, Preprocessing
from config.cards.model import Classifier
from config.errors import ConfigError
from workers.models.bounded import OriginalError
from workers.models.keras_files import read_keras
from workers.models.kinds import Kind
from workers.models.original import TOLERANCE, Original, answers, compare, computes
from workers.models.original_runs import run
from workers.models.programs import read_program

SIZE = 64
OUTPUTS = 3
MEAN, STD = 127.5, 60.0

pytestmark = [
    pytest.mark.usefixtures("tensorflow"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning"),
]


@pytest.fixture(scope="module")
def card(untrained: Classifier) -> ClassificationCard:
    pixels = Preprocessing(
        size=SIZE, channels=3, resize="bilinear", factor=1.0, mean=(MEAN,) * 3, std=(STD,) * 3
    )
    findings = tuple(f"finding {index}" for index in range(OUTPUTS))
    return untrained.card.model_copy(update={"pixels": pixels, "findings": findings})


@pytest.fixture(scope="module")
def network(tensorflow: Any, card: ClassificationCard) -> Any:
    assert tensorflow
    from workers.inference.networks import densenet

    return densenet.build(card)


def model(pooling: str = "avg", activation: str = "sigmoid", before: Any = None) -> Any:
    """Give somebody's Keras model, with numbers of its own, and perhaps a layer before it."""
    import keras

    from workers.inference.networks.network import seeded_weights

    trunk = keras.applications.DenseNet121(
        include_top=False, weights=None, input_shape=(SIZE, SIZE, 3), pooling=pooling
    )
    entry = keras.Input((SIZE, SIZE, 3))
    inside = entry if before is None else before(entry)
    built = keras.Model(entry, keras.layers.Dense(OUTPUTS, activation)(trunk(inside)))
    built.set_weights(seeded_weights(built, 7))
    return built


@pytest.fixture(scope="module")
def plain() -> Any:
    return model()


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run originals here: another process would load Keras for each. Its bounds have tests of their own."""
    monkeypatch.setattr(
        "workers.models.original.scores_of",
        lambda source, container, inputs: run(source, container, tmp_path, inputs),
    )


def read(path: Path, network: Any) -> Original:
    network.set_weights(read_keras(path).arrays)
    return Original(path, "", tuple(range(OUTPUTS)))


@pytest.mark.processes
def test_whole_model_is_equal_to_the_network_that_was_read(
    plain: Any, network: Any, card: ClassificationCard, tmp_path: Path
) -> None:
    path = tmp_path / "model.h5"
    plain.save(path)
    assert computes(path)
    difference = compare(read(path, network), network, card, TOLERANCE)
    assert 0 <= difference < 1e-5


def test_saved_model_is_opened_only_where_it_is_trusted(tmp_path: Path) -> None:
    path = tmp_path / "saved_model.pb"
    with pytest.raises(ConfigError, match=r"is a SavedModel.*--trust-pickle.*model\.save\("):
        read_program(path, Kind.SAVED_MODEL, None, trusted=False)
    with pytest.raises(ConfigError, match="--weights-key is for PyTorch's files"):
        read_program(path, Kind.SAVED_MODEL, "ema", trusted=True)


@pytest.mark.usefixtures("in_this_process")
def test_model_that_computes_another_thing_is_refused_with_what_differs(
    network: Any, card: ClassificationCard, tmp_path: Path
) -> None:
    import keras

    wrong = model("max", "softmax", before=keras.layers.Rescaling(1 / 255))
    wrong.save(tmp_path / "model.keras")
    assert computes(tmp_path / "model.keras")
    original = read(tmp_path / "model.keras", network)
    with pytest.raises(ConfigError, match=r"differs from the original by 0\.\d+ in probability") as caught:
        compare(original, network, card, TOLERANCE)
    for says in (
        "scores sum to 1, as those of a softmax",
        "it has GlobalMaxPooling2D, Rescaling, which Nightread's network has not",
        "save the model without what prepares its pixels",
    ):
        assert says in str(caught.value)


@pytest.mark.processes
def test_model_that_cannot_run_here_is_not_compared(
    network: Any, card: ClassificationCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(OriginalError, match="its end is missing"):
        compare(Original(path, "", (0,)), network, card, TOLERANCE)
    monkeypatch.setattr("workers.models.bounded._SECONDS", 0.01)
    with pytest.raises(OriginalError, match=r"did not answer in 0\.01 s"):
        compare(Original(path, "", (0,)), network, card, TOLERANCE)


def test_weights_alone_do_not_compute(plain: Any, tmp_path: Path) -> None:
    plain.save_weights(tmp_path / "model.weights.h5")
    assert not computes(tmp_path / "model.weights.h5")


def all_zero(array: Any) -> Any:
    return np.zeros_like(array)


def no_number(array: Any) -> Any:
    return np.full_like(array, np.nan)


@pytest.mark.parametrize(
    ("change", "says"), [(all_zero, "the same to three different pictures"), (no_number, "answers NaN")]
)
def test_network_that_answers_nothing_is_refused(
    network: Any, card: ClassificationCard, change: Callable[[Any], Any], says: str
) -> None:
    network.set_weights([change(array) for array in network.get_weights()])
    with pytest.raises(ConfigError, match=says):
        answers(network, card)
