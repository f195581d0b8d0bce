"""Sub-volumes are the course's: drawn anywhere, not nearly all background, standardised as in scoring."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from volume_support import segmentation_card

from config.failures import ImageUnusableError, Reason
from workers.inference.volumes.volume import Labels, Volume
from workers.training.volumes.sampling import Sampler, draw_corner

SHAPE = (24, 20, 12)
PATCH = (16, 16, 8)


def case(seed: int = 1, tumour: int = 10) -> tuple[Volume, Labels]:
    random = np.random.default_rng(seed)
    values = np.zeros((*SHAPE, 4), dtype=np.float32)
    values[2:, 1:, :10] = random.uniform(50, 150, (22, 19, 10, 4))
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[8 : 8 + tumour, 6:16, 3:9] = random.integers(1, 4, labels[8 : 8 + tumour, 6:16, 3:9].shape)
    return Volume(values, np.eye(4)), labels


def sampler(
    read: Callable[[str], tuple[Volume, Labels]] = lambda name: case(int(name)),
    names: tuple[str, ...] = ("1", "2", "3"),
    *,
    samples: int = 2,
    memory: int = 1 << 20,
    max_background: float = 0.95,
) -> Sampler:
    return Sampler(
        read, names, segmentation_card(), max_background=max_background, samples=samples, memory=memory
    )


def background(labels: NDArray[np.float32]) -> float:
    return float(1 - labels.any(axis=-1).mean())


def test_corners_are_drawn_evenly_from_all_places_that_hold_enough() -> None:
    labels = np.ones((20, 17, 9), dtype=np.uint8)
    rng = np.random.default_rng(0)
    corners = {draw_corner(labels, PATCH, 0.95, rng) for _ in range(400)}
    assert corners == {(x, y, z) for x in range(5) for y in range(2) for z in range(2)}


def test_places_that_are_nearly_all_background_are_not_taken() -> None:
    labels = np.zeros((200, 16, 8), dtype=np.uint8)
    labels[100:102] = 1
    rng = np.random.default_rng(0)
    for _ in range(20):
        corner = draw_corner(labels, PATCH, 0.95, rng)
        assert corner is not None
        # One plane of 16 is 6.25 % of a patch.
        assert 85 <= corner[0] <= 101
    assert draw_corner(np.zeros((20, 20, 8), dtype=np.uint8), PATCH, 0.95, rng) is None
    exactly = np.zeros(PATCH, dtype=np.uint8)
    exactly[:8] = 1
    assert draw_corner(exactly, PATCH, 0.5, rng) is None, "the share must be below, not at"
    assert draw_corner(exactly, PATCH, 0.51, rng) == (0, 0, 0)


def test_sub_volumes_are_standardised_by_channel_and_plane_with_their_own_labels() -> None:
    for values, labels in sampler().epoch((0,)):
        assert values.shape == (*PATCH, 4)
        assert labels.shape == (*PATCH, 3)
        assert values.dtype == labels.dtype == np.float32
        np.testing.assert_allclose(values.mean(axis=(0, 1)), 0, atol=1e-5)
        np.testing.assert_allclose(values.std(axis=(0, 1)), 1, atol=1e-4)
        assert background(labels) < 0.95
        assert labels.sum(axis=-1).max() == 1


def test_epochs_of_a_seed_are_the_same_and_of_others_not() -> None:
    first, again, other = ([v for v, _ in sampler().epoch(seed)] for seed in ((0, 1), (0, 1), (0, 2)))
    assert len(first) == len(sampler()) == 6
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not all(np.array_equal(one, two) for one, two in zip(first, other, strict=True))


@pytest.mark.parametrize(("memory", "reads"), [(1 << 30, 3), (0, 6)])
def test_cases_are_kept_as_far_as_memory_goes(memory: int, reads: int) -> None:
    read: list[str] = []

    def reading(name: str) -> tuple[Volume, Labels]:
        read.append(name)
        return case(int(name))

    assert len(list(sampler(reading, memory=memory).epoch((0,)))) == 6
    assert len(read) == reads


def test_cases_that_cannot_be_read_or_have_no_tumour_are_counted_and_passed_over() -> None:
    def reading(name: str) -> tuple[Volume, Labels]:
        if name == "1":
            raise ImageUnusableError(Reason.TRUNCATED, "cut")
        return case(int(name), tumour=0 if name == "2" else 10)

    drawn = sampler(reading)
    assert len(list(drawn.epoch((0,)))) == 2
    assert {name: error.reason for name, error in drawn.unusable.items()} == {"1": "truncated"}
    assert drawn.too_empty == {"2"}


def test_brain_that_is_smaller_than_a_patch_gets_zeros_around_it() -> None:
    def reading(_name: str) -> tuple[Volume, Labels]:
        volume, labels = case()
        values = np.zeros_like(volume.values)
        values[6:18, 4:18, 2:8] = volume.values[6:18, 4:18, 2:8]
        return Volume(values, volume.affine), labels

    (values, labels), *_ = sampler(reading).epoch((0,))
    assert values.shape == (*PATCH, 4)
    assert not values[:, :, 6:].any(), "planes of one value become zero"
    assert not labels[12:].any()
