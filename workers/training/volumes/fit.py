"""The training loop on sub-volumes, kept on disk epoch by epoch, and the model folder at its end."""

import os
import shutil
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from itertools import count, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from config.cards.card import CardFields
from config.cards.model import Segmenter
from config.errors import ConfigError
from workers.inference.networks.network import network_of
from workers.inference.volumes.engine import NetworkEngine
from workers.inference.weights import fill, load_weights, read_arrays
from workers.models.folder import stored_as, write_segmenter
from workers.training.fit import training_devices
from workers.training.plan import Reporter
from workers.training.plots import plot_curve
from workers.training.state import LAST_FILE, STATE_FILE, State
from workers.training.volumes.plan import VolumePlan, VolumeSplit
from workers.training.volumes.sampling import MOST_TRIES, Sampler

if TYPE_CHECKING:
    from workers.training.volumes.validation import WholeCases

Dataset = Any
"""TensorFlow's; it has no types."""

_NAMED: Final = 5
_CACHED_SHARE: Final = 0.25
"""Share of the machine's memory for cases that are read once, and not once per sub-volume."""

_MEASURE: Final = "val_dice"

_VALIDATION: Final = 1
"""Beside the seed: the validation split's sub-volumes are others than the training's, and always the same."""


def train_volumes(plan: VolumePlan, models_dir: Path, folder: Path, report: Reporter) -> Segmenter:
    """Train, or continue a training whose state is in `folder`, and write the model's folder.

    `folder` keeps the state after each epoch, and TensorBoard's log. Raises ConfigError where data, options
    or a kept state do not match, or no case has a sub-volume to learn from.
    """
    card = plan.draft
    if (models_dir / card.name).exists():
        raise ConfigError(f"{models_dir / card.name} is there already; choose another --name or remove it")
    strategy = training_devices()
    import keras

    # These load Keras.
    from workers.training.callbacks import make_callbacks
    from workers.training.volumes.loss import SoftDiceLoss
    from workers.training.volumes.validation import segment_cases, validate

    state = State(folder, plan.fingerprint(), _MEASURE)
    keras.utils.set_random_seed(plan.seed)
    loss = SoftDiceLoss()
    with strategy.scope():
        network = network_of(card).build(card)
        if plan.start is not None:
            load_weights(network, plan.start)
        model = keras.Model(network.input, network.output, name="training")
        model.compile(optimizer=keras.optimizers.Adam(plan.learning_rate), loss=loss)
        model.optimizer.build(model.trainable_variables)
        if state.history:
            model.load_weights(folder / LAST_FILE)
            report.note(f"going on after epoch {len(state.history)}")
    room = int(_CACHED_SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) // 2
    learned, watched = (
        Sampler(
            split.read,
            split.names,
            card,
            max_background=plan.max_background,
            samples=plan.samples,
            memory=room,
        )
        for split in (plan.train, plan.valid)
    )
    for sampler, split in ((learned, plan.train), (watched, plan.valid)):
        _require_sub_volume(sampler, split, plan)
    if len(state.history) < plan.epochs:
        steps = -(-len(learned) // plan.batch)
        sub_volumes = _dataset(watched, plan, repeat((plan.seed, _VALIDATION)))
        callbacks = make_callbacks(
            plan, state, report, network, steps, lambda: validate(model, sub_volumes, loss, card.threshold)
        )
        with warnings.catch_warnings():
            # How many cases give nothing is known only after the first epoch, and so is its length.
            warnings.filterwarnings("ignore", message="Your input ran out of data", category=UserWarning)
            model.fit(
                _dataset(learned, plan, ((plan.seed, 0, epoch) for epoch in count(len(state.history)))),
                epochs=plan.epochs,
                initial_epoch=len(state.history),
                shuffle=False,  # the sampler does
                verbose=0,
                callbacks=callbacks,
            )
    _tell_left_out(report, (learned, watched))

    report.note(f"epoch {state.best_epoch} was best; segmenting the validation split's whole cases")
    arrays, _ = read_arrays(card.name, state.best_file)
    fill(network, stored_as(arrays, half=plan.half), card, state.best_file.name)
    report.begin(state.best_epoch, len(plan.valid))
    whole = segment_cases(NetworkEngine(network), plan.valid, card, lambda: report.step(0.0))
    facts = _facts(plan, state, whole, len(learned.unusable) + len(watched.unusable))
    written = write_segmenter(models_dir, facts, arrays, half=plan.half)
    plot_curve(
        state.history,
        written.folder / "curve.png",
        loss="soft Dice loss",
        measure=_MEASURE,
        measured="mean Dice, validation",
    )
    shutil.copy(state.folder / STATE_FILE, written.folder / STATE_FILE)
    for kept in (state.best_file, state.folder / LAST_FILE, state.folder / STATE_FILE):
        kept.unlink()
    return written


def _dataset(sampler: Sampler, plan: VolumePlan, epochs: Iterator[tuple[int, ...]]) -> Dataset:
    """Return batches of sub-volumes (N, x, y, z, channels) and labels (N, x, y, z, classes).

    Each pass through it draws those of the next of `epochs`, which are seeds.
    """
    import tensorflow as tf

    card = plan.draft
    shapes = tuple(
        tf.TensorSpec((*card.patch, len(names)), tf.float32) for names in (card.channels, card.classes)
    )
    made = tf.data.Dataset.from_generator(lambda: sampler.epoch(next(epochs)), output_signature=shapes)
    return made.batch(plan.batch).prefetch(1)


def _require_sub_volume(sampler: Sampler, split: VolumeSplit, plan: VolumePlan) -> None:
    """Raise ConfigError where no case gives any: nothing could be learned, or no epoch would be best."""
    if next(sampler.epoch((plan.seed,)), None) is not None:
        return
    bad = next(iter(sampler.unusable.items()), None)
    if bad is not None:
        name, error = bad
        raise ConfigError(
            f"{split.manifest}: {len(sampler.unusable)} cases cannot be read: {name}: {error.message}"
        )
    sides = " x ".join(map(str, plan.draft.patch))
    raise ConfigError(
        f"{split.manifest}: in no case {MOST_TRIES:,} places for a sub-volume of {sides} voxels had "
        f"less than {plan.max_background:g} of background; give a smaller --patch or a larger "
        "--max-background"
    )


def _tell_left_out(report: Reporter, samplers: tuple[Sampler, ...]) -> None:
    unusable = {name: error for sampler in samplers for name, error in sampler.unusable.items()}
    if unusable:
        reasons = ", ".join(sorted({error.reason for error in unusable.values()}))
        report.note(f"{len(unusable)} cases could not be read and were left out: {reasons}")
    empty = {name for sampler in samplers for name in sampler.too_empty}
    if empty:
        report.note(
            f"{len(empty)} cases gave no sub-volume in some epoch, as {MOST_TRIES:,} places were nearly all "
            f"background; see --max-background: {', '.join(sorted(empty)[:_NAMED])}"
        )


def _facts(plan: VolumePlan, state: State, whole: "WholeCases", unusable: int) -> CardFields:
    start = "from seeded initial weights" if plan.start is None else f"from model {plan.start.card.name}"
    draft = plan.draft.model_dump(exclude={"sha256", "weights", "golden"})
    return draft | {
        "provenance": f"nightread train, version {version('nightread')}, {start}",
        "licence": "that of the training data",
        "training": {
            "train_sha256": plan.train.sha256,
            "valid_sha256": plan.valid.sha256,
            "train_volumes": len(plan.train),
            "valid_volumes": len(plan.valid),
            "unusable_volumes": unusable,
            "shared_patients": plan.shared.patients,
            "started_from": None if plan.start is None else plan.start.card.fingerprint,
            "epochs": len(state.history),
            "best_epoch": state.best_epoch,
            "batch": plan.batch,
            "learning_rate": plan.learning_rate,
            "max_background": plan.max_background,
            "samples": plan.samples,
            "seed": plan.seed,
        },
        "figures": {"validation Dice": whole.means()},
    }
