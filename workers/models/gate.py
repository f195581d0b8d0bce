"""Fit a model's gate on pictures that it knows, and put it into the model's folder."""

import hashlib
from collections.abc import Iterable
from math import hypot
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

from config.cards.classification import GateCard, GatePolicy
from config.cards.model import GATE_FILE, Classifier, read_model, require_classifier
from config.errors import ConfigError
from config.files import write_whole
from config.quality import Flag
from workers.inference.engine import Engine, infer_views
from workers.inference.formats.picture import Picture
from workers.inference.gate import TURNS, Distances, Gate, Known, Measures, Sight, look_at, usual_features
from workers.inference.pixels import prepare_views
from workers.models.folder import write_card

LEAST_PICTURES: Final = 300
"""Of fewer, the farthest says little about where one in a thousand lies."""

_PASSING: Final = 0.999
_PASSING_MIRRORED: Final = 0.995  # left and right differ least
_PASSING_TOGETHER: Final = 0.995  # a lateral is far by both distances, and too far by none
"""Of the fitted pictures, by each of the limits: with all of them fewer than 2 of 100 are flagged."""

_USUAL: Final = 0.9

_FOLDS: Final = 5

_LEAST_SCALE: Final = 0.01
"""Of the mean one: a feature that is nearly always 0 must not decide."""

_MARGIN: Final = 0.05

Seen = tuple[list[Sight], NDArray[np.floating]]
"""What the gate sees of pictures, and their features (N, k)."""


def see(pictures: Iterable[Picture], engine: Engine, model: Classifier) -> Seen:
    """Run the network over pictures; returns what the gate compares."""
    sights: list[Sight] = []
    features: list[NDArray[np.float32]] = []
    waiting: list[NDArray[np.float32]] = []
    for picture in pictures:
        sights.append(look_at(picture))
        waiting.append(prepare_views(picture, model.card.pixels))
        if len(waiting) == engine.batch:
            features.append(infer_views(engine, np.stack(waiting)).features)
            waiting = []
    if waiting:
        features.append(infer_views(engine, np.stack(waiting)).features)
    return sights, np.concatenate(features) if features else np.empty((0, 1))


def fit(sights: list[Sight], features: NDArray[np.floating]) -> Gate:
    """Fit a gate on what is seen of pictures and on their features (N, k).

    Each limit is a percentile of the pictures' own measures, each by a fit of the other four fifths: by its
    own fit a picture lies too near. Raises ConfigError below 300 pictures.
    """
    count = len(sights)
    if count < LEAST_PICTURES:
        raise ConfigError(
            f"a gate needs {LEAST_PICTURES} pictures or more to be fitted on; there are {count}"
        )
    # A manifest is often sorted, by patient or by hospital.
    order = np.random.default_rng(0).permutation(count)
    measures: list[Measures] = []
    for fold in range(_FOLDS):
        held = order[fold::_FOLDS]
        others = np.setdiff1d(order, held)
        part = _known([sights[index] for index in others], features[others])
        measures += [part.measure(sights[index], features[index]) for index in held]
    pictures = [measure.picture for measure in measures]
    limits = Measures(
        _percentile([measure.feature for measure in measures], _PASSING),
        _percentile(pictures, _PASSING),
        {
            flag: _percentile(
                [measure.nearer[flag] for measure in measures],
                _PASSING_MIRRORED if flag is Flag.MIRRORED else _PASSING,
            )
            for flag in TURNS
        },
    )
    return Gate(
        _known(sights, features),
        limits,
        together=_percentile([hypot(*measure.of(limits)) for measure in measures], _PASSING_TOGETHER),
        usual=_percentile(pictures, _USUAL),
        brightness=_range([sight.brightness for sight in sights]),
        contrast=_range([sight.contrast for sight in sights]),
    )


def install(model: Classifier, gate: Gate, images: int, policy: GatePolicy) -> Classifier:
    """Write a gate into a model's folder, and its hash into the card; returns the model as read back."""
    content = gate.to_bytes()
    card = model.card.model_copy(
        update={"gate": GateCard(sha256=hashlib.sha256(content).hexdigest(), images=images, policy=policy)}
    )
    write_whole(model.folder / GATE_FILE, content)
    write_card(model.folder, card)
    return require_classifier(read_model(model.folder))


def _known(sights: list[Sight], features: NDArray[np.floating]) -> Known:
    greys = np.stack([sight.greys for sight in sights]).reshape(len(sights), -1)
    return Known(_distances(usual_features(features)), _distances(greys))


def _distances(vectors: NDArray[np.floating]) -> Distances:
    mean, scale = vectors.mean(axis=0), vectors.std(axis=0)
    scale = scale + max(_LEAST_SCALE * float(scale.mean()), np.finfo(np.float32).tiny)
    fitted = LedoitWolf(assume_centered=True).fit((vectors - mean) / scale)
    kinds = (array.astype(np.float32) for array in (mean, scale, fitted.precision_))
    return Distances(*kinds)


def _range(values: list[float]) -> tuple[float, float]:
    """Return the range of values, a little wider: the next picture may be the darkest of all."""
    margin = _MARGIN * (max(values) - min(values))
    return min(values) - margin, max(values) + margin


def _percentile(measured: list[float], share: float) -> float:
    return float(np.quantile(measured, share))
