"""Networks that answer as one: means, how far they are apart, and maps that lie on one another."""

from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support import CLASSIFIER_CARD

from config.cards.classification import ClassificationCard, Preprocessing
from config.cards.model import Model
from config.errors import ConfigError
from workers.inference.engine import Inference
from workers.inference.ensemble import (
    Ensemble,
    Member,
    mean_golden,
    mean_maps,
    require_mean_golden,
)
from workers.inference.region import visible_region

PIXELS = Preprocessing.model_validate(CLASSIFIER_CARD["pixels"] | {"size": 32})
CARD = ClassificationCard.model_validate(
    CLASSIFIER_CARD
    | {"findings": ("Mass", "Edema"), "thresholds": (0.5, 0.5), "golden": (0.2, 0.4), "pixels": PIXELS}
)
SIZES = [(64, 48), (64, 48), (50, 50)]


@dataclass
class FixedEngine:
    """Stands in for a network: its answers are given, (N, findings) and (N, h, w, findings)."""

    probabilities: NDArray[np.float32]
    maps: NDArray[np.float32]
    batch: int = 2
    name: str = "fixed"
    seen: list[NDArray[np.float32]] = field(default_factory=list)

    def infer(self, inputs: NDArray[np.float32]) -> Inference:
        assert 1 <= len(inputs) <= self.batch
        done = sum(len(part) for part in self.seen)
        self.seen.append(inputs)
        places = slice(done, done + len(inputs))
        return Inference(self.probabilities[places], self.maps[places], inputs.mean(axis=(1, 2)))


def engine(seed: int, shape: tuple[int, int] = (10, 10)) -> FixedEngine:
    random = np.random.default_rng(seed)
    maps = random.random((3, *shape, 2), dtype=np.float32)
    return FixedEngine(random.random((3, 2), dtype=np.float32), maps / maps.max(axis=(1, 2), keepdims=True))


def views(number: int, *pixels: Preprocessing) -> list[tuple[NDArray[np.float32], ...]]:
    random = np.random.default_rng(9)
    return [
        tuple(random.random((1, p.size, p.size, p.channels), dtype=np.float32) for p in pixels)
        for _ in range(number)
    ]


def test_one_networks_answers_pass_through_as_they_are() -> None:
    network = engine(1)
    answers = Ensemble.alone(CARD, network).infer(views(3, PIXELS), SIZES)
    assert answers.spread is None
    assert np.array_equal(answers.probabilities, network.probabilities)
    assert np.array_equal(answers.maps, network.maps)


def test_answers_are_means_and_the_spread_is_the_population_standard_deviation() -> None:
    networks = [engine(seed) for seed in (1, 2, 3)]
    ours = Ensemble([Member(PIXELS, network, (0, 1)) for network in networks])
    answers = ours.infer(views(3, PIXELS), SIZES)
    each = np.stack([network.probabilities for network in networks]).astype(np.float64)
    mean = each.sum(axis=0) / 3
    assert answers.probabilities == pytest.approx(mean, abs=1e-7)
    assert answers.spread == pytest.approx(np.sqrt(((each - mean) ** 2).sum(axis=0) / 3), abs=1e-7)
    maps = np.sum([network.maps for network in networks], axis=0)
    assert answers.maps == pytest.approx(maps / maps.max(axis=(1, 2), keepdims=True), abs=1e-6)
    assert answers.maps.max(axis=(1, 2)) == pytest.approx(np.ones((3, 2)))
    # The pictures are prepared once, and the first member's features are the ensemble's.
    assert len(ours.preprocessings) == 1
    assert all(np.array_equal(networks[0].seen[0], network.seen[0]) for network in networks)
    assert np.array_equal(answers.features, np.concatenate(networks[0].seen).mean(axis=(1, 2)))


def test_members_that_name_findings_in_another_order_are_put_in_the_ensembles() -> None:
    first, second = engine(1), engine(2)
    answers = Ensemble([Member(PIXELS, first, (0, 1)), Member(PIXELS, second, (1, 0))]).infer(
        views(3, PIXELS), SIZES
    )
    expected = (first.probabilities + second.probabilities[:, ::-1]) / 2
    assert answers.probabilities == pytest.approx(expected, abs=1e-7)
    maps = first.maps + second.maps[..., ::-1]
    assert answers.maps == pytest.approx(maps / maps.max(axis=(1, 2), keepdims=True), abs=1e-6)


def test_each_member_gets_the_pixels_of_its_own_card() -> None:
    small = PIXELS.model_copy(update={"size": 48})
    networks = [engine(1), engine(2), engine(3)]
    pixels = [PIXELS, small, PIXELS]
    ours = Ensemble([Member(*pair, (0, 1)) for pair in zip(pixels, networks, strict=True)])
    assert ours.preprocessings == (PIXELS, small)
    ours.infer(views(3, PIXELS, small), SIZES)
    assert [network.seen[0].shape[1] for network in networks] == [32, 48, 32]


# --- maps --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 5), (7, 7), (20, 20)])
def test_maps_of_another_size_are_resized_bilinearly(shape: tuple[int, int]) -> None:
    ours, theirs = engine(1).maps[:1], engine(2, shape).maps[:1]
    found = mean_maps([ours, theirs], [PIXELS, PIXELS], [(640, 480)])
    expected = ours + cv2.resize(theirs[0], (10, 10), interpolation=cv2.INTER_LINEAR)
    assert found == pytest.approx(expected / expected.max(axis=(1, 2), keepdims=True), abs=1e-6)


def test_a_member_that_sees_the_middle_has_its_map_there() -> None:
    middle = PIXELS.model_copy(update={"center_crop": True})
    nothing, dot = np.zeros((1, 10, 20, 1), np.float32), np.zeros((1, 10, 10, 1), np.float32)
    dot[0, 4, 2] = 1.0
    # Of a picture of 200 x 100 the middle is its columns 50 to 150; this place is around column 75.
    assert visible_region(middle, 200, 100).left == 50
    found = mean_maps([nothing, dot], [PIXELS, middle], [(200, 100)])[0, :, :, 0]
    assert divmod(int(found.argmax()), 20) == (4, 7)
    assert found.max() == 1.0
    wide = np.ones((1, 10, 10, 1), np.float32)
    covered = mean_maps([nothing, wide], [PIXELS, middle], [(200, 100)])[0, :, :, 0]
    assert np.array_equal(np.flatnonzero(covered.any(axis=0)), np.arange(5, 15))
    # The other way round, what lies outside of the first member's middle is cut off.
    inner = mean_maps([np.zeros_like(dot), np.ones_like(nothing)], [middle, PIXELS], [(200, 100)])
    assert np.array_equal(inner, np.ones_like(dot))


def test_maps_without_a_positive_value_stay_0_and_what_is_no_number_stays_none() -> None:
    nothing = np.zeros((1, 10, 10, 1), np.float32)
    assert not mean_maps([nothing, nothing], [PIXELS, PIXELS], [(64, 64)]).any()
    broken = nothing.copy()
    broken[0, 3, 3] = np.nan
    assert not np.isfinite(mean_maps([nothing, broken], [PIXELS, PIXELS], [(64, 64)])).all()


# --- golden scores -----------------------------------------------------------------------------------------


def test_golden_scores_are_the_members_means_in_the_ensembles_order() -> None:
    turned = CARD.model_copy(
        update={"findings": ("Edema", "Mass"), "golden": (0.6, 0.1), "golden_film": (0.3, 0.2)}
    )
    filmed = CARD.model_copy(update={"golden_film": (0.8, 0.5)})
    assert mean_golden(CARD, [CARD, turned]) == ((0.15, 0.5), None)
    assert mean_golden(CARD, [filmed, turned]) == ((0.15, 0.5), (0.5, 0.4))


@pytest.mark.parametrize(
    "changed", [{"golden": (0.2, 0.41)}, {"golden_film": (0.2, 0.4)}, {"golden": (0.4, 0.2)}]
)
def test_golden_scores_that_are_not_the_members_mean_are_refused(
    changed: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    members = (Model(folder, CARD), Model(folder, CARD))
    require_mean_golden(Model(folder, CARD, members))
    with pytest.raises(ConfigError, match="golden scores are not the mean of its members'"):
        require_mean_golden(Model(folder, CARD.model_copy(update=changed), members))
