"""What is kept of a training's epochs, whenever it is killed."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_support import figures

from config.errors import ConfigError
from workers.training.state import State

# Keras' own, when it reads its variables to save them.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)


@pytest.fixture
def small(tensorflow: Any) -> Callable[[float], Any]:
    """A network of three weights that all have one value: its files tell which epoch wrote them."""
    import keras

    assert tensorflow
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.Adam(), loss="mse")

    def filled(value: float) -> Any:
        model.set_weights([np.full(array.shape, value) for array in model.get_weights()])
        return model

    return filled


def last_and_best(folder: Path, model: Any) -> tuple[float, float]:
    """Read back which value the two kept files hold."""
    model.load_weights(folder / "last.weights.h5")
    with np.load(State(folder, "mine").best_file, allow_pickle=False) as stored:
        values = {float(value) for key in stored.files for value in stored[key].ravel()}
    values_of_last = {float(value) for array in model.get_weights() for value in array.ravel()}
    assert len(values) == len(values_of_last) == 1
    return values_of_last.pop(), values.pop()


def test_last_and_best_epoch_are_kept_and_read_again(tmp_path: Path, small: Callable[[float], Any]) -> None:
    folder = tmp_path / "training" / "mine"
    state = State(folder, "mine")
    aurocs, best = (0.5, 0.8, 0.7, 0.8, 0.9), (1, 2, 2, 2, 5)
    for epoch, (auroc, best_epoch) in enumerate(zip(aurocs, best, strict=True), start=1):
        state.keep(small(epoch), small(epoch), figures(auroc))
        again = State(folder, "mine")
        assert again.history == [figures(auroc) for auroc in aurocs[:epoch]]
        assert again.best_epoch == state.best_epoch == best_epoch
        assert last_and_best(folder, small(0)) == (epoch, best_epoch)
    assert {path.name for path in folder.iterdir()} == {"training.json", "last.weights.h5", "best-0005.npz"}


def test_a_training_without_state_begins_at_the_beginning(tmp_path: Path) -> None:
    assert State(tmp_path / "nothing", "mine").history == []
    assert not (tmp_path / "nothing").exists()


def test_state_of_another_training_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "training.json"
    path.write_text(json.dumps({"fingerprint": "others", "history": [figures(0.5)]}))
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"--name.*--restart") as caught:
        State(tmp_path, "mine")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert State(tmp_path, "others").history == [figures(0.5)]


class KilledError(BaseException):
    """Stands for the kill."""


@pytest.mark.parametrize("moved", [0, 1, 2], ids=["before the best", "before the last", "after the last"])
def test_a_kill_between_the_files_leaves_a_state_to_go_on_with(
    tmp_path: Path, small: Callable[[float], Any], monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    state = State(tmp_path, "mine")
    state.keep(small(1), small(1), figures(0.5))
    counter, really = itertools.count(), Path.replace

    def killed_after(path: Path, target: Path) -> Path:
        if next(counter) == moved:
            raise KilledError
        return really(path, target)

    with monkeypatch.context() as context:
        context.setattr(Path, "replace", killed_after)
        with pytest.raises(KilledError):
            state.keep(small(2), small(2), figures(0.9))
    again = State(tmp_path, "mine")
    # An epoch counts only when all its files are in place; one done twice does no harm.
    assert len(again.history) == 1
    assert last_and_best(tmp_path, small(0)) == ((1, 1), (1, 1), (2, 1))[moved]
    again.keep(small(3), small(3), figures(0.9))
    assert State(tmp_path, "mine").best_epoch == 2
    assert last_and_best(tmp_path, small(0)) == (3, 3)


def test_a_kill_in_the_first_epochs_writing_leaves_no_state(
    tmp_path: Path, small: Callable[[float], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_path: Path, _target: Path) -> Path:
        raise KilledError

    with monkeypatch.context() as context:
        context.setattr(Path, "replace", killed)
        with pytest.raises(KilledError):
            State(tmp_path, "mine").keep(small(1), small(1), figures(0.5))
    assert State(tmp_path, "another").history == []
