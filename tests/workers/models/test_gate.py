"""A gate passes what is like the pictures that it was fitted on, and says what others seem to be."""

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from math import hypot
from pathlib import Path

import cv2
import numpy as np
import pytest
from gate_support import FORGED, Grey, Random, chest, picture
from numpy.typing import NDArray

from config.cards.model import GATE_FILE, SHIPPED, read_model, require_classifier
from config.errors import ConfigError
from config.quality import Flag
from workers.inference.gate import TURNS, Gate, look_at
from workers.models.gate import LEAST_PICTURES, fit, install

FITTED = 400


def features_of(values: Grey) -> NDArray[np.float32]:
    """Stand in for a network's features: what a layer of random weights sees of a small copy."""
    small = cv2.resize(values, (24, 24), interpolation=cv2.INTER_AREA).astype(np.float32).ravel() / 255
    weights = np.random.default_rng(7).normal(0, 24**-1, (small.size, 64)).astype(np.float32)
    return np.maximum(small @ weights, 0)


def gate_of(values: list[Grey]) -> Gate:
    return fit([look_at(picture(one)) for one in values], np.stack([features_of(one) for one in values]))


def flag_of(gate: Gate, values: Grey) -> Flag | None:
    return gate.judge(look_at(picture(values)), features_of(values)).flag


@pytest.fixture(scope="module")
def random() -> Random:
    return np.random.default_rng(11)


@pytest.fixture(scope="module")
def gate(random: Random) -> Gate:
    return gate_of([chest(random) for _ in range(FITTED)])


def test_pictures_like_the_fitted_ones_pass(gate: Gate, random: Random) -> None:
    flagged = [flag_of(gate, chest(random)) is not None for _ in range(FITTED)]
    assert sum(flagged) <= 0.02 * FITTED


@pytest.mark.parametrize("flag", TURNS)
def test_a_picture_that_is_turned_is_told_by_how(gate: Gate, random: Random, flag: Flag) -> None:
    turned: Callable[[Grey], Grey] = {
        Flag.INVERTED: lambda values: np.subtract(255, values, dtype=np.uint8),
        Flag.MIRRORED: lambda values: values[:, ::-1],
        Flag.ROTATED_90: lambda values: np.rot90(values, -1),
        Flag.ROTATED_180: lambda values: np.rot90(values, 2),
        Flag.ROTATED_270: lambda values: np.rot90(values, 1),
    }[flag]
    told = [flag_of(gate, turned(chest(random))) for _ in range(50)]
    assert told.count(None) <= 2
    # What is wrong is said where the turned copy is as near as nine of ten of the fitted pictures.
    assert told.count(flag) >= 40


@pytest.mark.parametrize("kind", ["lateral", "photograph", "text", "blank", "cropped"])
def test_another_picture_does_not_pass(gate: Gate, random: Random, kind: str) -> None:
    told = [flag_of(gate, FORGED[kind](chest(random), random)) for _ in range(50)]
    assert sum(flag is not None for flag in told) >= 48


def test_a_picture_as_no_other_is_dark_is_told(gate: Gate, random: Random) -> None:
    dark = (chest(random) * np.float32(0.4)).astype(np.uint8)
    seen = gate.judge(look_at(picture(dark)), features_of(chest(random)))
    assert seen.flag is Flag.CONTRAST
    assert seen.picture_distance <= 1


def test_a_picture_that_is_far_by_both_distances_is_told_though_too_far_by_none(
    gate: Gate, random: Random
) -> None:
    values = chest(random)
    sight = (look_at(picture(values)), features_of(values))
    seen = gate.judge(*sight)
    both = hypot(seen.feature_distance, seen.picture_distance)
    assert (seen.flag, both < gate.together < 2**0.5) == (None, True)
    assert max(seen.feature_distance, seen.picture_distance) < 1
    for together, flag in ((1.01 * both, None), (0.99 * both, Flag.UNLIKE)):
        assert replace(gate, together=together).judge(*sight).flag is flag


def test_a_gate_is_read_as_it_was_written(gate: Gate, random: Random) -> None:
    values = chest(random)
    read = Gate.from_bytes(gate.to_bytes())
    assert (read.limits, read.together, read.usual) == (gate.limits, gate.together, gate.usual)
    seen = (look_at(picture(values)), features_of(values))
    assert read.judge(*seen) == gate.judge(*seen)


def test_a_colour_picture_is_seen_as_its_greys(random: Random) -> None:
    values = chest(random)
    colour = look_at(picture(np.dstack([values] * 3)))
    assert np.abs(colour.greys - look_at(picture(values)).greys).max() < 1e-5


def test_few_pictures_make_no_gate(random: Random) -> None:
    with pytest.raises(ConfigError, match=rf"{LEAST_PICTURES} pictures.*there are 3"):
        gate_of([chest(random) for _ in range(3)])


def test_an_installed_gate_is_the_one_that_the_card_names(gate: Gate, tmp_path: Path) -> None:
    shutil.copytree(SHIPPED / "demo", tmp_path / "demo")
    model = require_classifier(read_model(tmp_path / "demo"))
    before = model.card.fingerprint
    model = install(model, gate, FITTED, "refuse")
    assert model.card.gate is not None
    assert (model.card.gate.images, model.card.gate.policy) == (FITTED, "refuse")
    assert model.card.fingerprint != before
    loaded = Gate.load(model)
    assert loaded is not None
    assert loaded.limits == gate.limits

    (tmp_path / "demo" / GATE_FILE).write_bytes(gate.to_bytes()[:-1])
    with pytest.raises(ConfigError, match=r"SHA-256 of gate.npz .* models fit-gate demo"):
        Gate.load(model)
    (tmp_path / "demo" / GATE_FILE).unlink()
    with pytest.raises(ConfigError, match=r"gate.npz: No such file"):
        Gate.load(model)


def test_real_radiographs_pass_and_forged_ones_do_not(random: Random, real_data: Path) -> None:
    folder = real_data / "pneumonia"
    with (folder / "train.csv").open(newline="") as rows:
        names = [row["Image"] for row in csv.DictReader(rows)]
    chosen = random.choice(names, 1200, replace=False).tolist()
    films = [np.asarray(cv2.imread(str(folder / "images" / name), cv2.IMREAD_GRAYSCALE)) for name in chosen]
    gate = gate_of(films[:800])
    held = films[800:]
    assert sum(flag_of(gate, film) is not None for film in held) <= 0.02 * len(held)
    for kind in FORGED:
        forged = [FORGED[kind](film, random) for film in held[:100]]
        caught = sum(flag_of(gate, values) is not None for values in forged) / len(forged)
        # The heart alone tells left from right, and many children's lies in the middle.
        assert caught >= (0.7 if kind == "mirrored" else 0.95), f"{kind}: {caught}"
