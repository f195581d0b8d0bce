"""Whether a map points into a drawn box, on maps small enough to count their pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from workers.inference.peak import locate
from workers.inference.region import Region
from workers.metrics.localisation import Localisation, localise, summarise_localisations
from workers.metrics.shares import clustered_wilson, wilson


def spot(row: int, column: int, side: int = 4) -> NDArray[np.float32]:
    map_ = np.zeros((side, side), np.float32)
    map_[row, column] = 1
    return map_


def test_map_of_the_images_size_worked_by_hand() -> None:
    # Pixels (0, 0) and (1, 0) are at least 0.5; the box covers (1, 0) and (2, 0): one of three.
    map_ = np.array([[1.0, 0.6, 0.4], [0.0, 0.0, 0.0]], np.float32)
    assert localise(map_, np.array([[1, 0, 2, 1]]), 3, 2) == Localisation(hit=False, iou=1 / 3)
    assert localise(map_, np.array([[0, 0, 2, 1]]), 3, 2) == Localisation(hit=True, iou=1)
    assert localise(map_, np.array([[0, 0, 3, 2]]), 3, 2, level=0.3) == Localisation(hit=True, iou=1 / 2)


def test_map_is_resized_bilinear() -> None:
    # Of 1, 0 the four pixels are 1, 0.75, 0.25, 0: two at 0.5.
    map_ = np.array([[1.0, 0.0]], np.float32)
    box = np.array([[0, 0, 2, 1]])
    assert localise(map_, box, 4, 1).iou == 1
    assert localise(map_, box, 4, 1, level=0.2).iou == pytest.approx(2 / 3)
    assert localise(map_, box, 4, 1, level=0.8).iou == pytest.approx(1 / 2)


def test_several_boxes_are_one_region_and_overlap_counts_once() -> None:
    map_ = np.ones((2, 4), np.float32)
    boxes = np.array([[0, 0, 2, 1], [1, 0, 2, 1]])  # three pixels of eight
    assert localise(map_, boxes, 4, 2).iou == pytest.approx(3 / 8)
    far_and_near = np.array([[0, 0, 1, 1], [75, 75, 25, 25]])
    assert localise(spot(3, 3), far_and_near, 100, 100).hit is True


def test_peak_is_the_one_that_a_run_stores() -> None:
    map_ = np.array([[0.0, 0.2, 1.0, 0.8], [0.0, 0.1, 0.3, 0.2]], np.float32)
    peak = locate(map_, Region(0, 0, 400, 200))
    assert peak is not None
    x, y = peak.point
    assert localise(map_, np.array([[x, y, 1, 1]]), 400, 200).hit is True
    for beside in ([x + 1, y, 1, 1], [x - 1, y, 1, 1], [x, y + 1, 1, 1], [x, y - 1, 1, 1]):
        assert localise(map_, np.array([beside]), 400, 200).hit is False


def test_odd_box_of_fractions_is_taken_by_pixel_centres() -> None:
    map_ = np.ones((4, 4), np.float32)
    assert localise(map_, np.array([[0.4, 0.6, 2.2, 2.0]]), 4, 4).iou == pytest.approx(3 * 2 / 16)


def test_map_covers_only_what_the_network_saw() -> None:
    # A wide image, of which the network saw the square in the middle.
    seen, map_ = Region(2, 0, 4, 4), np.ones((2, 2), np.float32)
    assert localise(map_, np.array([[2, 0, 4, 4]]), 8, 4, seen=seen) == Localisation(hit=True, iou=1)
    # A box beyond its sight counts against it.
    assert localise(map_, np.array([[0, 0, 8, 4]]), 8, 4, seen=seen).iou == pytest.approx(1 / 2)
    left = np.array([[1.0, 0.0], [0.0, 0.0]], np.float32)
    assert localise(left, np.array([[0, 0, 2, 4]]), 8, 4, seen=seen).hit is False


def test_level_is_a_share_of_the_maximum() -> None:
    map_, box = spot(1, 2), np.array([[40, 20, 30, 30]])
    assert localise(map_ * 0.25, box, 80, 80) == localise(map_, box, 80, 80)
    assert localise(map_.astype(np.float16), box, 80, 80) == localise(map_, box, 80, 80)


@given(
    st.integers(0, 3),
    st.integers(0, 3),
    st.tuples(st.floats(0, 30), st.floats(0, 30), st.floats(1, 30), st.floats(1, 30)),
)
@settings(deadline=None)
def test_iou_is_a_share_and_mirrors_with_the_image(
    row: int, column: int, box: tuple[float, float, float, float]
) -> None:
    x, y, width, height = (round(value) for value in box)
    map_ = spot(row, column)
    result = localise(map_, np.array([[x, y, width, height]]), 64, 64)
    mirrored = localise(map_[:, ::-1], np.array([[64 - x - width, y, width, height]]), 64, 64)
    assert result.iou is not None
    assert 0 <= result.iou <= 1
    assert mirrored.iou == pytest.approx(result.iou)


def test_map_without_a_positive_value_is_a_miss() -> None:
    result = localise(np.zeros((4, 4), np.float32), np.array([[0, 0, 8, 8]]), 8, 8)
    assert result == Localisation(hit=False, iou=0.0, reason="the map has no positive value")


@pytest.mark.parametrize(
    ("boxes", "value", "reason"),
    [
        (np.empty((0, 4)), 1, "no box"),
        (np.array([[0, 0, np.nan, 1]]), 1, "coordinate"),
        (np.array([[100, 100, 5, 5]]), 1, "no box covers"),
        (np.array([[1, 1, 0, 5]]), 1, "no box covers"),
        (np.array([[1, 1, 5, 5]]), np.nan, "value that is no number"),
    ],
)
def test_what_cannot_be_judged_has_a_reason(boxes: NDArray[np.float64], value: float, reason: str) -> None:
    result = localise(np.full((4, 4), value, np.float32), boxes, 8, 8)
    assert (result.hit, result.iou) == (None, None)
    assert result.reason is not None
    assert reason in result.reason


def test_summary_of_a_finding() -> None:
    judged = [
        Localisation(hit=True, iou=0.5),
        Localisation(hit=False, iou=0.1),
        Localisation(hit=True, iou=0.3),
    ]
    judged.append(Localisation(None, None, "no box"))
    summary = summarise_localisations(judged, np.arange(4))
    assert (summary.n, summary.hits, summary.pointing) == (3, 2, 2 / 3)
    assert (summary.ci_low, summary.ci_high) == wilson(2, 3)
    assert summary.mean_iou == pytest.approx(0.3)
    of_two = summarise_localisations(judged, np.array([5, 5, 2, 9]))
    assert (of_two.hits, of_two.mean_iou) == (2, summary.mean_iou)
    assert (of_two.ci_low, of_two.ci_high) == clustered_wilson(np.array([1, 1]), np.array([2, 1]))
    empty = summarise_localisations([], np.zeros(0, np.intp))
    assert (empty.n, empty.pointing, empty.mean_iou) == (0, None, None)
    assert empty.reason == "no image with a map and a box"


def test_programming_errors_are_raised() -> None:
    map_, boxes = spot(0, 0), np.array([[0, 0, 1, 1]])
    with pytest.raises(ValueError, match="are not"):
        localise(map_[0], boxes, 8, 8)
    with pytest.raises(ValueError, match="are not"):
        localise(map_, boxes[0], 8, 8)
    for level in (0, 1.5, np.nan):
        with pytest.raises(ValueError, match="level"):
            localise(map_, boxes, 8, 8, level=level)
    for width, seen in (
        (0, None),
        (8, Region(4, 0, 8, 8)),
        (8, Region(-1, 0, 4, 4)),
        (8, Region(0, 4, 8, 5)),
    ):
        with pytest.raises(ValueError, match="pixels"):
            localise(map_, boxes, width, 8, seen=seen)
