"""What happens around an epoch: validation, learning rate, early stopping, saving, and reporting."""

from collections.abc import Callable

import keras

from workers.training.plan import Epoch, Pace, Reporter
from workers.training.state import State


def make_callbacks(
    plan: Pace,
    state: State,
    report: Reporter,
    network: keras.Model,
    steps: int,
    validate: Callable[[], Epoch],
) -> list[keras.callbacks.Callback]:
    """Return Keras' callbacks in the order in which the end of an epoch needs them.

    `validate` gives the validation split's figures, `val_loss` and the state's measure.
    """
    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor="val_loss", factor=0.3, patience=max(1, plan.patience // 2), min_lr=plan.learning_rate / 1000
    )
    stopping = keras.callbacks.EarlyStopping(monitor=state.measure, mode="max", patience=plan.patience)
    return [
        _Validation(validate),
        plateau,
        stopping,
        _Replay(state.history, plateau, stopping),
        keras.callbacks.TensorBoard(state.folder / "tensorboard", write_graph=False, profile_batch=0),
        _Saving(state, network),
        _Reporting(report, steps),
    ]


class _Validation(keras.callbacks.Callback):
    """Puts the validation split's figures where the callbacks after it look for them."""

    def __init__(self, validate: Callable[[], Epoch]) -> None:
        super().__init__()
        self._validate = validate

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        del epoch
        logs |= self._validate()


class _Replay(keras.callbacks.Callback):
    """Shows the earlier epochs to the callbacks that count them, when a training continues."""

    def __init__(
        self, history: list[Epoch], plateau: keras.callbacks.Callback, stopping: keras.callbacks.Callback
    ) -> None:
        super().__init__()
        self._history = list(history)
        self._counting = (plateau, stopping)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        del logs
        for epoch, figures in enumerate(self._history):
            for callback in self._counting:
                callback.on_epoch_end(epoch, dict(figures))
        if self._history:
            self.model.optimizer.learning_rate = self._history[-1]["next_learning_rate"]


class _Saving(keras.callbacks.Callback):
    """Writes each epoch's state."""

    def __init__(self, state: State, network: keras.Model) -> None:
        super().__init__()
        self._state = state
        self._network = network

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        del epoch
        figures = {name: float(logs[name]) for name in ("loss", "val_loss", self._state.measure)}
        figures["next_learning_rate"] = float(self.model.optimizer.learning_rate)
        self._state.keep(self.model, self._network, figures)


class _Reporting(keras.callbacks.Callback):
    """Feeds the progress bar."""

    def __init__(self, report: Reporter, steps: int) -> None:
        super().__init__()
        self._report = report
        self._steps = steps

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        del logs
        self._report.begin(epoch + 1, self._steps)

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        del batch
        self._report.step(float(logs["loss"]))

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self._report.end(epoch + 1, logs)
