"""The search for copies among many pictures: every block, two archives, and a thousand copies of one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from workers.inference import copies
from workers.inference.copies import Copy, Search
from workers.inference.formats.picture import Picture
from workers.inference.likeness import Looks, look_at

SEEN = 0.97


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def noise(seed: int) -> NDArray[np.uint8]:
    """A picture that is like no other."""
    drawn = np.random.default_rng(seed).normal(size=(128, 128))
    smooth = cv2.GaussianBlur(drawn, (0, 0), 3)
    greys: NDArray[np.uint8] = (smooth / smooth.std() * 40 + 128).clip(0, 255).astype(np.uint8)
    return greys


def looks_of(*seeds: int) -> Looks:
    return np.stack([look_at(Picture(noise(seed))) for seed in seeds])


class Comparison:
    """Counts what is compared, and says that all are copies."""

    def __init__(self) -> None:
        self.pairs: list[tuple[int, int]] = []

    def __call__(self, number: int, other: int) -> float:
        self.pairs.append((number, other))
        return SEEN


def found(looks: Looks, others: Looks | None, threads: ThreadPoolExecutor) -> list[Copy]:
    return [copy for block in Search(looks, others, Comparison(), threads) for copy in block]


@pytest.mark.parametrize("block", [2, 3, 100])
def test_copies_are_found_in_every_block(
    block: int, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "_BLOCK", block)
    seeds = (1, 2, 3, 1, 4, 5, 2)
    assert sorted(found(looks_of(*seeds), None, threads)) == [(0, 3, SEEN), (1, 6, SEEN)]


@pytest.mark.parametrize("block", [2, 100])
def test_of_two_archives_only_pairs_across_are_found(
    block: int, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "_BLOCK", block)
    here, there = looks_of(1, 1, 2, 3), looks_of(9, 3, 8, 8, 1)
    pairs = [copy[:2] for copy in found(here, there, threads)]
    assert sorted(pairs) == [(0, 4), (1, 4), (3, 1)]


def test_a_thousand_copies_cost_a_thousand_comparisons(threads: ThreadPoolExecutor) -> None:
    looks = np.repeat(looks_of(1), 1000, axis=0)
    comparison = Comparison()
    pairs = [copy for block in Search(looks, None, comparison, threads) for copy in block]
    assert len(pairs) == len(comparison.pairs) == 999
    assert {number for copy in pairs for number in copy[:2]} == set(range(1000))


def test_what_is_not_a_copy_on_its_pixels_is_no_pair(threads: ThreadPoolExecutor) -> None:
    search = Search(looks_of(1, 1), None, lambda _number, _other: 0.79, threads)
    assert [copy for block in search for copy in block] == []


def test_nothing_is_found_in_nothing_and_among_flat_pictures(threads: ThreadPoolExecutor) -> None:
    nothing = np.empty((0, 64, 64), dtype=np.int8)
    assert found(nothing, None, threads) == []
    assert found(looks_of(1), nothing, threads) == []
    assert found(np.zeros((3, 64, 64), dtype=np.int8), None, threads) == []
