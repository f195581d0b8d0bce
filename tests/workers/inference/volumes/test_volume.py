"""Files of one case belong together if they have the same voxels, in whatever order each stores them."""

from itertools import permutations, product

import numpy as np
import pytest
from nibabel.orientations import apply_orientation, inv_ornt_aff
from numpy.typing import NDArray
from series_support import oblique

from config.failures import ImageUnusableError, Reason
from workers.inference.volumes.scan import Scan
from workers.inference.volumes.volume import labels_of, stacked, volume_of

SHAPE = (7, 5, 4)
PLACE = oblique((0.9, 1.3, 3.0), (0.2, -0.1, 0.3))
VALUES = np.random.default_rng(6).integers(1, 800, SHAPE).astype(np.float32)
LABEL = (VALUES > 400).astype(np.float32)


def turned(values: NDArray[np.float32], axes: tuple[int, ...], flips: tuple[int, ...]) -> Scan:
    """The same voxels at the same places, stored along other axes and backwards."""
    turn = np.array([*zip(axes, flips, strict=True)], dtype=float)
    return Scan(apply_orientation(values, turn), PLACE @ inv_ornt_aff(turn, values.shape))


@pytest.mark.parametrize("axes", [*permutations(range(3))])
@pytest.mark.parametrize("flips", [*product((1, -1), repeat=3)])
def test_a_label_and_a_sequence_that_are_stored_in_another_order_are_turned(
    axes: tuple[int, ...], flips: tuple[int, ...]
) -> None:
    volume = volume_of(Scan(VALUES, PLACE), ["T1"])
    np.testing.assert_array_equal(labels_of(turned(LABEL, axes, flips), volume, ["bright"], [1]), LABEL)
    both = stacked([("T1", Scan(VALUES, PLACE)), ("T2", turned(VALUES * 2, axes, flips))], 2)
    np.testing.assert_array_equal(both.values[..., 1], VALUES * 2)
    np.testing.assert_array_equal(both.affine, PLACE)


@pytest.mark.parametrize(
    ("moved", "said"),
    [
        (PLACE @ np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "lies elsewhere"),
        (PLACE @ np.diag([1, 1, 1.1, 1]), "lies elsewhere"),
        (oblique((0.9, 1.3, 3.0), (0.2, -0.1, 0.35)), "lies elsewhere"),
    ],
    ids=["shifted by a voxel", "of other voxels", "turned by three degrees"],
)
def test_what_would_have_to_be_resampled_is_refused(moved: NDArray[np.float64], said: str) -> None:
    volume = volume_of(Scan(VALUES, PLACE), ["T1"])
    with pytest.raises(ImageUnusableError, match=said) as caught:
        labels_of(Scan(LABEL, moved), volume, ["bright"], [1])
    assert caught.value.reason is Reason.WRONG_SHAPE
    with pytest.raises(ImageUnusableError, match=r"the label has 7 x 5 x 3 voxels, the image 7 x 5 x 4"):
        labels_of(Scan(LABEL[..., :3], PLACE), volume, ["bright"], [1])
