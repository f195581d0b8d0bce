"""The training loop: Keras' fit, kept on disk epoch by epoch, and the model folder at its end."""

import os
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np

from config.cards.model import Classifier
from config.errors import ConfigError
from workers.inference.devices import prepare_gpus
from workers.inference.networks.network import KerasModel, network_of
from workers.inference.weights import fill, load_weights, read_arrays
from workers.training.card import draft_card, write_trained
from workers.training.plan import Plan, Reporter
from workers.training.splits import Split, class_frequencies
from workers.training.state import LAST_FILE, State
from workers.training.validation import validate

Strategy = Any
"""TensorFlow's way to share the work among GPUs; it has no types."""

_NORM_MOMENTUM: Final = 0.9
"""With Keras' 0.99 the averages need some 500 steps to represent the data; a small epoch has 100."""


def train(plan: Plan, models_dir: Path, folder: Path, report: Reporter) -> Classifier:
    """Train, or continue a training whose state is in `folder`, and write the model's folder.

    `folder` keeps the state after each epoch, and TensorBoard's log. Raises ConfigError where data, options
    or a kept state do not match. GPU paths (mixed_float16, MirroredStrategy) have not yet been run on one.
    """
    if (models_dir / plan.name).exists():
        raise ConfigError(f"{models_dir / plan.name} is there already; choose another --name or remove it")
    card = draft_card(plan)
    _require_measurable(plan.valid)
    strategy = training_devices()
    import keras

    # These load Keras.
    from workers.training.callbacks import make_callbacks
    from workers.training.inputs import Inputs
    from workers.training.loss import WeightedCrossEntropy

    state = State(folder, plan.fingerprint())
    positive, _ = class_frequencies(plan.train)
    keras.utils.set_random_seed(plan.seed)
    loss = WeightedCrossEntropy(positive)
    with strategy.scope():
        network = network_of(card).build(card)
        _initialise(network, plan)
        model = keras.Model(network.input, network.outputs[1], name="training")
        model.compile(optimizer=keras.optimizers.Adam(plan.learning_rate), loss=loss)
        # In the first step's graph, each of its thousand variables would have branches of its own.
        model.optimizer.build(model.trainable_variables)
        if state.history:
            model.load_weights(folder / LAST_FILE)
            report.note(f"going on after epoch {len(state.history)}")
    inputs, others = (Inputs(read, plan.pixels) for read in (plan.read, plan.read_valid))
    learned = inputs.dataset(plan.train, plan.batch, shuffle=plan.seed, flip=plan.flip)
    watched = others.dataset(plan.valid, plan.batch)
    if len(state.history) < plan.epochs:
        steps = -(-len(plan.train) // plan.batch)
        callbacks = make_callbacks(
            plan, state, report, network, steps, lambda: validate(model, watched, loss).figures()
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
    arrays, _ = read_arrays(plan.name, state.best_file)
    if plan.half:  # the thresholds must be those of the stored weights
        arrays = [array.astype(np.float16).astype(np.float32) for array in arrays]
    fill(network, arrays, card, state.best_file.name)
    found = validate(model, watched, loss)
    return write_trained(plan, state, models_dir, arrays, found, len(unusable))


def _require_measurable(valid: Split) -> None:
    """Raise ConfigError where no finding of the validation split has both classes: no epoch would be best."""
    if not any({0, 1} <= set(column.tolist()) for column in valid.labels.T):
        raise ConfigError(
            f"{valid.manifest}: no finding has images with it and images without it; nothing can be measured"
        )


def training_devices() -> Strategy:
    """Load TensorFlow with the settings for training; returns the strategy that uses all GPUs."""
    # Read when TensorFlow is loaded. It leaves oneDNN off on processors without AVX-512, where a step of this
    # network took 1.5 times as long without it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    gpus = prepare_gpus()
    import tensorflow as tf

    return tf.distribute.MirroredStrategy() if gpus > 1 else tf.distribute.get_strategy()


def _initialise(network: KerasModel, plan: Plan) -> None:
    """Fill the network from the model to start from; its head only where the findings agree."""
    for layer in network.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.momentum = _NORM_MOMENTUM
    if plan.start is None:
        return
    start = network_of(plan.start.card).build(plan.start.card)
    load_weights(start, plan.start)
    arrays = start.get_weights()
    if plan.start.card.findings != plan.train.findings:
        arrays[-2:] = network.get_weights()[-2:]
    if plan.start.card.pixels.channels != plan.pixels.channels:
        raise ConfigError(
            f"model {plan.start.card.name} takes {plan.start.card.pixels.channels} channels, "
            f"this training {plan.pixels.channels}"
        )
    network.set_weights(arrays)
