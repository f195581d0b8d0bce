"""Whether two pictures are copies of one film: each kind of copy, and what is none."""

import numpy as np
import pytest
from copy_support import KINDS, Grey
from numpy.typing import NDArray

from jobs.phantoms.archive import draw, plan_archive
from workers.inference.formats.picture import Picture
from workers.inference.likeness import COPY, coarse_likeness, likeness, look_at, sketches

UNFOUND = {"turned by up to 3 degrees", "mirrored", "cropped by up to 8% of each side"}
"""Kinds of copies that are no copies here; docs/duplicates.md says so."""

FOUND = sorted(KINDS.keys() - UNFOUND)


@pytest.fixture(scope="module")
def films() -> list[Grey]:
    """Three patients' films, the first two of one patient."""
    plan = plan_archive(12, seed=3)
    first = next(n for n in range(1, len(plan)) if plan[n].patient_id == plan[n - 1].patient_id)
    other = next(phantom for phantom in plan if phantom.patient_id != plan[first].patient_id)
    return [draw(phantom) for phantom in (plan[first - 1], plan[first], other)]


@pytest.mark.parametrize("kind", FOUND)
def test_a_copy_is_like_its_film(kind: str, films: list[Grey]) -> None:
    for number, film in enumerate(films):
        changed = KINDS[kind](film, np.random.default_rng(number))
        found = likeness(Picture(film), Picture(changed))
        assert abs(found) > COPY
        assert (found < 0) == (kind == "inverted")


def test_two_films_of_a_patient_are_not_copies(films: list[Grey]) -> None:
    assert abs(likeness(Picture(films[0]), Picture(films[1]))) < COPY


def test_a_film_that_is_turned_or_mirrored_is_not_called_a_copy(films: list[Grey]) -> None:
    turned = np.ascontiguousarray(np.rot90(films[0]))
    for changed in (turned, np.ascontiguousarray(films[0][:, ::-1])):
        assert abs(likeness(Picture(films[0]), Picture(changed))) < COPY


def test_a_deep_and_a_coloured_picture_look_as_the_grey_one(films: list[Grey]) -> None:
    deep = Picture(films[0].astype(np.float32) * np.float32(4095 / 65535), deep=True)
    coloured = Picture(np.dstack([films[0]] * 3))
    expected = look_at(Picture(films[0]))
    np.testing.assert_allclose(look_at(deep), expected, atol=1)
    np.testing.assert_array_equal(look_at(coloured), expected)


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_flat_picture_has_no_structure_and_is_like_nothing(grey: int, films: list[Grey]) -> None:
    flat = Picture(np.full((50, 40), grey, dtype=np.uint8))
    assert not look_at(flat).any()
    assert likeness(flat, flat) == 0
    assert likeness(flat, Picture(films[0])) == 0
    assert coarse_likeness(look_at(flat), look_at(Picture(films[0]))) == 0
    assert not any(side.any() for side in sketches(look_at(flat)[None]))


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (2, 2), (65, 3)])
def test_a_picture_of_any_shape_has_a_look(shape: tuple[int, int]) -> None:
    values: NDArray[np.uint8] = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    assert look_at(Picture(values)).shape == (64, 64)
