"""A volume is cropped and standardised as the card says, and as in training."""

import numpy as np
import pytest
from volume_support import head, segmentation_card

from workers.inference.volumes.golden import golden_patch
from workers.inference.volumes.prepare import brain_box, standardized_patch, standardized_volume


def test_the_box_holds_every_voxel_that_is_not_zero_in_all_channels() -> None:
    values = np.zeros((9, 8, 7, 2), dtype=np.float32)
    values[2, 3, 4, 0] = 1
    values[5, 1, 4, 1] = -2
    assert brain_box(values) == (slice(2, 6), slice(1, 4), slice(4, 5))


def test_plane_by_plane_each_channel_has_mean_0_and_standard_deviation_1() -> None:
    card = segmentation_card(standardization="plane")
    patch = head().astype(np.float32)
    patch[:, :, 4, 1] = 7  # of one value: the course would use the plane before
    assert standardized_volume(patch, card) is patch
    scaled = standardized_patch(patch, card)
    mean, spread = scaled.mean(axis=(0, 1)), scaled.std(axis=(0, 1))
    flat = patch.std(axis=(0, 1)) == 0
    np.testing.assert_allclose(mean, 0, atol=1e-5)
    np.testing.assert_allclose(spread[~flat], 1, atol=1e-5)
    assert flat[4, 1]
    assert not scaled[:, :, flat].any()


def test_by_the_brain_zeros_stay_and_do_not_count() -> None:
    card = segmentation_card(standardization="brain")
    values = head().astype(np.float32)
    scaled = standardized_volume(values, card)
    brain = values.any(axis=3)
    assert not scaled[~brain].any()
    np.testing.assert_allclose(scaled[brain].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled[brain].std(axis=0), 1, atol=1e-5)
    assert standardized_patch(scaled, card) is scaled


@pytest.mark.parametrize(
    ("patch", "depth", "shape"),
    [((160, 160, 16), 4, (64, 64, 16)), ((16, 24, 8), 4, (16, 24, 8)), ((96, 80, 48), 5, (64, 64, 16))],
)
def test_the_drawn_volume_fits_the_network_and_has_all_its_channels(
    patch: tuple[int, int, int], depth: int, shape: tuple[int, int, int]
) -> None:
    drawn = golden_patch(segmentation_card(patch=patch, depth=depth))
    assert drawn.shape == (*shape, 4)
    assert np.isfinite(drawn).all()
    different = {drawn[..., channel].tobytes() for channel in range(4)}
    assert len(different) == 4
