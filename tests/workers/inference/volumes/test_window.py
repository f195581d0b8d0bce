"""Patches make a volume's probabilities: the same in any order, and those of the whole where none is cut."""

import numpy as np
import pytest
from scipy.ndimage import uniform_filter
from scipy.special import expit
from volume_support import PointwiseEngine, head, segmentation_card

from workers.inference.volumes.window import VolumeEngine, label_map, segment_volume


class BlurEngine:
    """A network that sees a voxel and its neighbours: the same wherever a patch lies, but for its borders."""

    name = "blur"
    batch = 3

    def segment(self, patches: np.ndarray) -> np.ndarray:
        blurred = [expit(uniform_filter(patch.mean(axis=3), 3, mode="constant")) for patch in patches]
        return np.repeat(np.stack(blurred)[..., None], 3, axis=4).astype(np.float32)

    def release(self) -> None:
        pass


CARD = segmentation_card(standardization="brain", overlap=0.5)


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.75])
def test_a_pointwise_network_answers_as_it_does_for_the_whole(overlap: float) -> None:
    values = head().astype(np.float32)
    card = segmentation_card(standardization="brain", overlap=overlap)
    probabilities, box = segment_volume(values, card, PointwiseEngine(3))
    assert box == (slice(2, 22), slice(2, 18), slice(2, 10))
    brain = values[box]
    scaled = (brain - brain.mean(axis=(0, 1, 2))) / brain.std(axis=(0, 1, 2))
    whole = PointwiseEngine(3).segment(scaled[None])[0]
    np.testing.assert_allclose(np.moveaxis(probabilities, 0, -1), whole, atol=2e-6)


def test_a_network_with_neighbours_answers_as_for_the_whole_where_patches_meet() -> None:
    # A patch's border is wrong by one voxel; it counts least, and where one other patch covers it, little.
    values = head((40, 36, 20)).astype(np.float32)
    card = segmentation_card(standardization="brain", patch=[16, 16, 16], overlap=0.5)
    probabilities, box = segment_volume(values, card, BlurEngine())
    brain = values[box]
    scaled = (brain - brain.mean(axis=(0, 1, 2))) / brain.std(axis=(0, 1, 2))
    whole = BlurEngine().segment(scaled[None].astype(np.float32))[0]
    difference = np.abs(np.moveaxis(probabilities, 0, -1) - whole)[1:-1, 1:-1, 1:-1]
    assert np.median(difference) < 1e-6
    assert difference.max() < 2e-2


def test_the_result_is_the_same_to_the_last_bit_in_any_order_and_group_of_patches() -> None:
    values = head((40, 36, 20)).astype(np.float32)
    card = segmentation_card(standardization="plane", overlap=0.6)
    random = np.random.default_rng(4)
    results = []
    for batch in (1, 2, 5):
        engine: VolumeEngine = PointwiseEngine(3, batch)
        results.append(segment_volume(values, card, engine)[0])
        results.append(
            segment_volume(values, card, engine, lambda c: [c[i] for i in random.permutation(len(c))])[0]
        )
    assert results[0].std() > 0
    for other in results[1:]:
        assert np.array_equal(results[0], other)


def test_empty_patches_are_left_out_and_their_probabilities_are_0() -> None:
    values = np.zeros((64, 16, 8, 4), dtype=np.float32)
    values[:10] = values[-10:] = 100.0
    values[3, 3, 3] = 150.0
    engine = PointwiseEngine(3, 1)
    probabilities, _ = segment_volume(values, segmentation_card(overlap=0.0), engine)
    assert sum(engine.calls) == 2
    assert engine.releases == 1  # measures need memory next
    assert not probabilities[:, 20:40].any()
    assert probabilities[:, :10].all()


def test_a_volume_smaller_than_a_patch_has_its_own_shape() -> None:
    values = head((9, 11, 7)).astype(np.float32)
    probabilities, box = segment_volume(values, CARD, PointwiseEngine(3))
    assert probabilities.shape == (3, *values[box].shape[:3])


def test_a_voxel_is_of_the_likeliest_class_if_it_reaches_the_threshold() -> None:
    probabilities = np.array([[0.4, 0.5, 0.9, 0.6], [0.3, 0.2, 0.95, 0.6]], dtype=np.float32).reshape(
        2, 4, 1, 1
    )
    assert label_map(probabilities, 0.5).ravel().tolist() == [0, 1, 2, 1]
    assert label_map(probabilities, 0.92).ravel().tolist() == [0, 0, 2, 0]
