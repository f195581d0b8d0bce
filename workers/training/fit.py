"""The training loop: Keras' fit, kept on disk epoch by epoch, and the model folder at its end."""

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from config.cards.card import Model, ModelCard, Preprocessing, problems_of
from config.errors import ConfigError
from workers.inference.devices import prepare_gpus
from workers.training.splits import Overlap, Split

_STATE: Final = "training.json"
_LAST: Final = "last.weights.h5"
_NORM_MOMENTUM: Final = 0.9
"""Keras' 0.99 needs some 500 steps until its averages stand for the data; a small epoch has 100."""

Epoch = dict[str, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to train, on what, and how."""

    name: str
    train: Split
    valid: Split
    shared: Overlap
    images: Path
    valid_images: Path
    pixels: Preprocessing
    final_relu: bool = True
    start: Model | None = None
    epochs: int = 20
    batch: int = 16
    learning_rate: float = 1e-3
    patience: int = 5
    flip: bool = False
    half: bool = False
    seed: int = 0
    wanted_sensitivity: float = 0.9
    description: str = ""
    max_pixels: int = 64_000_000

    def fingerprint(self) -> str:
        """Give the SHA-256 of all that a training that goes on must have in common with its beginning."""
        facts = {
            "train": self.train.sha256,
            "valid": self.valid.sha256,
            "findings": self.train.findings,
            "images": [str(self.images), str(self.valid_images)],
            "pixels": self.pixels.model_dump(mode="json"),
            "final_relu": self.final_relu,
            "start": self.start.card.fingerprint if self.start else None,
            "batch": self.batch,
            "learning_rate": self.learning_rate,
            "flip": self.flip,
            "seed": self.seed,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Reporter:
    """Where a training tells how it goes on."""

    begin: Callable[[int, int], None]
    """(epoch from 1, its steps)"""
    step: Callable[[float], None]
    """(the epoch's mean loss so far)"""
    end: Callable[[int, Epoch], None]
    """(epoch, its figures)"""
    note: Callable[[str], None]
    """(a line for the person)"""


class State:
    """What a training keeps on disk, so that it goes on at the epoch where it was stopped."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        """Read what is there; ConfigError where it is another training's."""
        self.folder = folder
        self._fingerprint = fingerprint
        self.history: list[Epoch] = []
        path = folder / _STATE
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["fingerprint"] != fingerprint:
                raise ConfigError(
                    f"{folder} holds a training of this name with other data or options; go on with those, "
                    "choose another --name, or begin anew with --restart"
                )
            self.history = kept["history"]

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, of the greatest mean AUROC on the validation split."""
        return int(np.argmax([epoch["val_auroc"] for epoch in self.history])) + 1

    @property
    def best_file(self) -> Path:
        """The best epoch's weights. Its number is in the name: a kill never leaves another epoch's there."""
        return self.folder / f"best-{self.best_epoch:04d}.npz"

    def keep(self, model: Any, network: Any, figures: Epoch) -> None:
        """Write an epoch's weights, the optimiser's state among them, then the history that counts them."""
        from workers.inference.weights import save_weights  # noqa: PLC0415  # loads TensorFlow

        self.folder.mkdir(parents=True, exist_ok=True)
        model.save_weights(self.folder / f"new-{_LAST}")
        self.history.append(figures)
        if self.best_epoch == len(self.history):
            save_weights(network, self.best_file)
        (self.folder / f"new-{_LAST}").replace(self.folder / _LAST)
        scratch = self.folder / f"new-{_STATE}"
        content = {"fingerprint": self._fingerprint, "history": self.history}
        scratch.write_text(json.dumps(content, indent=1), encoding="utf-8")
        scratch.replace(self.folder / _STATE)
        for older in self.folder.glob("best-*.npz"):
            if older != self.best_file:
                older.unlink()


def train(plan: Plan, models_dir: Path, folder: Path, report: Reporter) -> Model:
    """Train, or go on with a training whose state is in `folder`, and write the model's folder.

    `folder` keeps the state after each epoch, and TensorBoard's log. Raises ConfigError where data, options
    or a kept state do not fit. GPU paths (mixed_float16, MirroredStrategy) have not yet been run on one.
    """
    if (models_dir / plan.name).exists():
        raise ConfigError(f"{models_dir / plan.name} is there already; choose another --name or remove it")
    card = _draft(plan)
    _require_measurable(plan.valid)
    strategy = _distribution()
    import keras  # noqa: PLC0415

    from workers.inference import weights  # noqa: PLC0415
    from workers.inference.networks import densenet121 as densenet  # noqa: PLC0415
    from workers.training.callbacks import make_callbacks  # noqa: PLC0415
    from workers.training.inputs import Inputs  # noqa: PLC0415
    from workers.training.loss import WeightedCrossEntropy  # noqa: PLC0415
    from workers.training.splits import class_frequencies  # noqa: PLC0415
    from workers.training.validation import validate  # noqa: PLC0415

    state = State(folder, plan.fingerprint())
    positive, _ = class_frequencies(plan.train)
    keras.utils.set_random_seed(plan.seed)
    loss = WeightedCrossEntropy(positive)
    with strategy.scope():
        network = densenet.build(card)
        _initialise(network, plan)
        model = keras.Model(network.input, network.outputs[1], name="training")
        model.compile(optimizer=keras.optimizers.Adam(plan.learning_rate), loss=loss)
        if state.history:
            model.optimizer.build(model.trainable_variables)
            model.load_weights(folder / _LAST)
            report.note(f"going on after epoch {len(state.history)}")
    inputs, others = (Inputs(root, plan.pixels, plan.max_pixels) for root in (plan.images, plan.valid_images))
    learned = inputs.dataset(plan.train, plan.batch, shuffle=plan.seed, flip=plan.flip)
    watched = others.dataset(plan.valid, plan.batch)
    if len(state.history) < plan.epochs:
        steps = -(-len(plan.train) // plan.batch)
        callbacks = make_callbacks(
            plan, state, report, network, steps, lambda: validate(model, watched, loss)
        )
        with warnings.catch_warnings():
            # How many images cannot be read is known only after the first epoch, and so is its length.
            warnings.filterwarnings("ignore", message="Your input ran out of data", category=UserWarning)
            model.fit(
                learned,
                epochs=plan.epochs,
                initial_epoch=len(state.history),
                shuffle=False,  # the dataset does
                verbose=0,
                callbacks=callbacks,
            )
    unusable = {**inputs.unusable, **others.unusable}
    if unusable:
        reasons = ", ".join(sorted(set(unusable.values())))
        report.note(f"{len(unusable)} images could not be read and were left out: {reasons}")

    report.note(f"epoch {state.best_epoch} was best; choosing thresholds on the validation split")
    arrays, _ = weights.read_arrays(plan.name, state.best_file)
    if plan.half:  # the thresholds shall be those of the weights that are stored
        arrays = [array.astype(np.float16).astype(np.float32) for array in arrays]
    weights.fill(network, arrays, card, state.best_file.name)
    found = validate(model, watched, loss)
    return _write(plan, state, models_dir, arrays, found, len(unusable))


def _require_measurable(valid: Split) -> None:
    """Raise ConfigError where no finding of the validation split has both classes: no epoch would be best."""
    if not any({0, 1} <= set(column.tolist()) for column in valid.labels.T):
        raise ConfigError(
            f"{valid.manifest}: no finding has images with it and images without it; nothing can be measured"
        )


def _distribution() -> Any:
    """Load TensorFlow with the settings of a training; give the strategy that uses all GPUs there are."""
    # Read when TensorFlow is loaded. It leaves oneDNN off on processors without AVX-512, where a step of this
    # network took 1.5 times as long without it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    gpus = prepare_gpus()
    import tensorflow as tf  # noqa: PLC0415

    return tf.distribute.MirroredStrategy() if gpus > 1 else tf.distribute.get_strategy()


def _draft(plan: Plan) -> ModelCard:
    """Give a card that says enough to build the network; ConfigError where name or findings cannot be its."""
    try:
        return _card_in_training(plan)
    except ValidationError as error:
        raise ConfigError(f"model {plan.name!r}: its card would be wrong: {problems_of(error)}") from error


def _card_in_training(plan: Plan) -> ModelCard:
    return ModelCard(
        name=plan.name,
        description="in training",
        architecture="densenet121",
        sha256="0" * 64,
        weights="in-training.npz",
        findings=plan.train.findings,
        thresholds=(0.5,) * len(plan.train.findings),
        golden=(0.5,) * len(plan.train.findings),
        pixels=plan.pixels,
        final_relu=plan.final_relu,
        provenance="",
        licence="",
    )


def _initialise(network: Any, plan: Plan) -> None:
    """Fill the network from the model to start from; its head only where the findings agree."""
    from workers.inference import weights  # noqa: PLC0415
    from workers.inference.networks import densenet121 as densenet  # noqa: PLC0415

    for layer in network.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.momentum = _NORM_MOMENTUM
    if plan.start is None:
        return
    start = densenet.build(plan.start.card)
    weights.load_weights(start, plan.start)
    arrays = start.get_weights()
    if plan.start.card.findings != plan.train.findings:
        arrays[-2:] = network.get_weights()[-2:]
    if plan.start.card.pixels.channels != plan.pixels.channels:
        raise ConfigError(
            f"model {plan.start.card.name} takes {plan.start.card.pixels.channels} channels, "
            f"this training {plan.pixels.channels}"
        )
    network.set_weights(arrays)


def _write(plan: Plan, state: State, models_dir: Path, arrays: list[Any], found: Any, unusable: int) -> Model:
    from workers.models.folder import write_model  # noqa: PLC0415
    from workers.training.plots import plot_classes, plot_curve  # noqa: PLC0415

    youden, sensitive = found.thresholds(plan.wanted_sensitivity)
    figures = {
        name: round(value, 4)
        for name, value in zip(plan.train.findings, found.aurocs(), strict=True)
        if value is not None
    }
    start = "from seeded initial weights" if plan.start is None else f"from model {plan.start.card.name}"
    facts: dict[str, Any] = {
        "name": plan.name,
        "description": plan.description or f"DenseNet-121 trained on {plan.train.manifest.name}",
        "architecture": "densenet121",
        "findings": plan.train.findings,
        "thresholds": youden,
        "sensitive_thresholds": sensitive,
        "wanted_sensitivity": plan.wanted_sensitivity,
        "pixels": plan.pixels.model_dump(),
        "final_relu": plan.final_relu,
        "provenance": f"nightread train, version {version('nightread')}, {start}",
        "licence": "that of the training data",
        "training": {
            "train_sha256": plan.train.sha256,
            "valid_sha256": plan.valid.sha256,
            "train_images": len(plan.train),
            "valid_images": len(plan.valid),
            "unusable_images": unusable,
            "shared_patients": plan.shared.patients,
            "started_from": None if plan.start is None else plan.start.card.fingerprint,
            "epochs": len(state.history),
            "best_epoch": state.best_epoch,
            "batch": plan.batch,
            "learning_rate": plan.learning_rate,
            "flip": plan.flip,
            "seed": plan.seed,
        },
        "figures": {"validation AUROC": figures},
    }
    model = write_model(models_dir, facts, arrays, half=plan.half)
    plot_curve(state.history, model.folder / "curve.png")
    plot_classes(plan.train, plan.valid, model.folder / "classes.png")
    shutil.copy(state.folder / _STATE, model.folder / _STATE)
    for kept in (state.best_file, state.folder / _LAST, state.folder / _STATE):
        kept.unlink()
    return model
