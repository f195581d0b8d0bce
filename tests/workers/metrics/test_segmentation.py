"""Figures of segmentations: the course's published numbers, SimpleITK's distances, and what is undefined."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from workers.metrics.segmentation import (
    Mask,
    Undefined,
    compare_masks,
    dice,
    extent,
    sensitivity_specificity,
    soft_dice,
    spacing_of,
    surface_figures,
)

EYE = np.eye(2, dtype=bool)
UPPER = np.array([[1, 1], [0, 0]], dtype=bool)
TRIANGLE = np.array([[1, 1], [0, 1]], dtype=bool)


def blob(seed: int, shape: tuple[int, int, int] = (30, 34, 26)) -> Mask:
    field = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3)
    mask: Mask = field > np.percentile(field, 90)
    return mask


# --- the course's tests ------------------------------------------------------------------------------------


def test_dice_coefficients_are_those_of_the_course() -> None:
    assert dice(UPPER, EYE, epsilon=1) == pytest.approx(0.6)
    assert dice(TRIANGLE, EYE, epsilon=1) == pytest.approx(0.8333, abs=5e-5)


def test_soft_dice_losses_are_those_of_the_course() -> None:
    assert 1 - (soft_dice(UPPER, EYE, epsilon=1) or 0) == pytest.approx(0.4)
    assert 1 - (soft_dice(UPPER, EYE * 0.5, epsilon=1) or 0) == pytest.approx(0.4286, abs=5e-5)
    assert 1 - (soft_dice(TRIANGLE, EYE, epsilon=1) or 0) == pytest.approx(0.1667, abs=5e-5)
    nearly = np.array([[1, 0.8], [0, 1]])
    assert 1 - (soft_dice(TRIANGLE, nearly, epsilon=1) or 0) == pytest.approx(0.0060, abs=5e-5)


def test_sensitivities_and_specificities_are_those_of_the_course() -> None:
    assert sensitivity_specificity(UPPER, EYE) == (0.5, 0.5)
    assert sensitivity_specificity(TRIANGLE, EYE) == pytest.approx((0.6667, 1.0), abs=5e-5)
    reference = np.array([1] * 7 + [0] * 7, dtype=bool)
    prediction = np.array([1] * 2 + [0] * 5 + [0] * 3 + [1] * 4, dtype=bool)
    sensitivity, specificity = sensitivity_specificity(reference, prediction)
    assert sensitivity == pytest.approx(0.2857, abs=5e-5)
    assert specificity == pytest.approx(0.4286, abs=5e-5)


# --- what is not defined -----------------------------------------------------------------------------------


def test_two_empty_masks_do_not_agree_perfectly() -> None:
    empty = np.zeros((4, 4, 4), dtype=bool)
    found = compare_masks(empty, empty, (1, 1, 1), np.zeros((4, 4, 4)))
    assert found.undefined is Undefined.NEITHER
    assert (found.dice, found.soft_dice, found.sensitivity, found.hd95_mm, found.assd_mm) == (None,) * 5
    assert found.specificity == 1.0


def test_a_missed_tumour_counts_as_zero_and_has_no_distance() -> None:
    empty, mask = np.zeros((30, 34, 26), dtype=bool), blob(0)
    found = compare_masks(mask, empty, (1, 1, 1))
    assert found.undefined is Undefined.NO_PREDICTION
    assert (found.dice, found.sensitivity, found.hd95_mm) == (0.0, 0.0, None)


def test_a_false_alarm_has_no_sensitivity_and_no_distance() -> None:
    empty, mask = np.zeros((30, 34, 26), dtype=bool), blob(0)
    found = compare_masks(empty, mask, (1, 1, 1), mask.astype(np.float32))
    assert found.undefined is Undefined.NO_REFERENCE
    assert (found.dice, found.soft_dice, found.sensitivity, found.assd_mm) == (0.0, None, None, None)


def test_a_mask_that_fills_the_volume_has_no_specificity() -> None:
    full = np.ones((3, 3, 3), dtype=bool)
    found = compare_masks(full, full, (1, 1, 1), full.astype(np.float32))
    assert (found.dice, found.sensitivity, found.specificity, found.hd95_mm) == (1.0, 1.0, None, 0.0)
    assert found.soft_dice == pytest.approx(1.0)
    assert found.undefined is None


# --- distances ---------------------------------------------------------------------------------------------


def distances_of_simpleitk(a: Mask, b: Mask, spacing: tuple[float, float, float]) -> tuple[float, float]:
    """Return HD95 and ASSD by ITK's contours and distance maps; a margin makes the volume's edge outside."""
    sitk: Any = pytest.importorskip("SimpleITK")

    def image(mask: Mask) -> Any:
        made = sitk.GetImageFromArray(np.pad(mask, 1).astype(np.uint8).transpose(2, 1, 0))
        made.SetSpacing(spacing)
        return sitk.LabelContour(made, fullyConnected=False)

    contours = image(a), image(b)
    maps = [
        sitk.Abs(sitk.SignedMaurerDistanceMap(one, squaredDistance=False, useImageSpacing=True))
        for one in contours
    ]
    arrays = [sitk.GetArrayFromImage(one) for one in (*contours, *maps)]
    there = arrays[3][arrays[0] > 0], arrays[2][arrays[1] > 0]
    return max(float(np.percentile(one, 95)) for one in there), float(np.concatenate(there).mean())


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.25, 3.0)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_distances_are_those_of_simpleitk(seed: int, spacing: tuple[float, float, float]) -> None:
    a, b = blob(seed), blob(seed + 10)
    assert surface_figures(a, b, spacing) == pytest.approx(distances_of_simpleitk(a, b, spacing), rel=1e-5)


def test_distances_of_two_cubes_by_hand() -> None:
    a, b = np.zeros((2, 20, 20, 20), dtype=bool)
    a[5:8, 5:8, 5:8] = True
    b[5:8, 5:8, 9:12] = True
    hd95, assd = surface_figures(a, b, (1.0, 1.0, 2.0))
    # The middle of a cube of 3 is no surface. Its layers are 8, 6 and 4 mm from the other cube.
    assert hd95 == pytest.approx(8.0)
    assert assd == pytest.approx((9 * 8 + 8 * 6 + 9 * 4) / 26)


# --- size and place ----------------------------------------------------------------------------------------


def rotated(spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    a, b = np.radians(25), np.radians(-40)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag(spacing)
    affine[:3, 3] = (-90, 126, -72)
    return affine


@pytest.mark.parametrize("mirrored", [1, -1])
def test_millilitres_are_exact_for_anisotropic_rotated_and_mirrored_affines(mirrored: int) -> None:
    affine = rotated((0.5, 1.25, mirrored * 4.0))
    mask = np.zeros((20, 20, 20), dtype=bool)
    mask[2:12, 3:7, 4:9] = True
    mask[15, 15, 15] = True
    found = extent(mask, affine)
    assert spacing_of(affine) == pytest.approx((0.5, 1.25, 4.0))
    assert (found.voxels, found.components) == (201, 2)
    assert found.ml == pytest.approx(201 * 2.5 / 1000, rel=1e-12)
    assert found.largest_ml == pytest.approx(0.5, rel=1e-12)
    assert found.box == ((2, 3, 4), (15, 15, 15))
    centre = np.argwhere(mask).mean(axis=0)
    assert found.centroid_mm == pytest.approx((affine @ [*centre, 1])[:3].tolist())


def test_voxels_that_share_a_corner_are_one_component() -> None:
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert extent(mask, np.eye(4)).components == 1


def test_an_empty_mask_is_nowhere() -> None:
    found = extent(np.zeros((4, 4, 4), dtype=bool), np.eye(4))
    assert (found.voxels, found.ml, found.components, found.box, found.centroid_mm) == (0, 0.0, 0, None, None)
