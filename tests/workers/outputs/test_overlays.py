"""Overlays show where a map points, leave the rest as it was, and appear whole or not at all."""

import os
import resource
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from config.cards.model import Classifier
from workers.inference.backdrop import STORED_SIDE
from workers.inference.formats.picture import Picture
from workers.inference.peak import locate
from workers.inference.region import Region, visible_region
from workers.outputs import overlays

RNG = np.random.default_rng(3)
GREY = RNG.integers(0, 256, (120, 90), dtype=np.uint8)
NOTHING = np.zeros((10, 10), dtype=np.float32)


def one_place(row: int, column: int, shape: tuple[int, int] = (10, 10)) -> NDArray[np.float32]:
    map_ = np.zeros(shape, dtype=np.float32)
    map_[row, column] = 1.0
    return map_


def as_bgr(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[..., None], 3, axis=-1)


# --- what is drawn -----------------------------------------------------------------------------------------


def test_overlay_has_the_pictures_own_size() -> None:
    found = overlays.render(Picture(GREY), one_place(2, 2))
    assert found.shape == (120, 90, 3)
    assert found.dtype == np.uint8


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1024, 1024), (512, 512)),
        ((3001, 1999), (512, 341)),
        ((333, 1023), (167, 512)),
        ((400, 300), (400, 300)),  # never enlarged
        ((5000, 1), (512, 1)),
        ((1, 1), (1, 1)),
    ],
)
def test_longest_side_is_kept_and_the_proportions_with_it(
    shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    found = overlays.render(Picture(np.zeros(shape, dtype=np.uint8)), one_place(0, 0), STORED_SIDE)
    assert found.shape == (*expected, 3)


def test_overlay_of_an_empty_map_is_the_picture() -> None:
    assert np.array_equal(overlays.render(Picture(GREY), NOTHING), as_bgr(GREY))


def test_what_the_network_did_not_look_at_stays_as_it_is() -> None:
    found = overlays.render(Picture(GREY), one_place(1, 1))
    assert np.array_equal(found[40:], as_bgr(GREY)[40:])
    assert np.array_equal(found[:, 30:], as_bgr(GREY)[:, 30:])
    assert not np.array_equal(found, as_bgr(GREY))


def test_a_stronger_place_is_never_darker_on_the_same_ground() -> None:
    rising = np.linspace(0.5, 1, 64, dtype=np.float32)[None, :].repeat(8, axis=0)
    found = overlays.render(Picture(np.full((8, 64), 100, dtype=np.uint8)), rising)
    grey = cv2.cvtColor(found, cv2.COLOR_BGR2GRAY)[4].astype(int)
    assert (np.diff(grey) >= 0).all()


def test_peak_is_yellow_and_lets_the_picture_through() -> None:
    found = overlays.render(Picture(np.full((100, 100), 100, dtype=np.uint8)), one_place(4, 7))
    blue, green, red = (int(value) for value in found[45, 75])
    assert min(red, green) > 100 > blue
    stripes = np.full((100, 100), 100, dtype=np.uint8)
    stripes[:, ::2] = 200
    assert overlays.render(Picture(stripes), one_place(4, 7))[45, 74].tolist() != [blue, green, red]


def test_colours_of_a_colour_picture_are_not_swapped() -> None:
    blue = np.zeros((20, 20, 3), dtype=np.uint8)
    blue[..., 2] = 255  # RGB
    assert overlays.render(Picture(blue), NOTHING)[0, 0].tolist() == [255, 0, 0]  # BGR


def test_sixteen_bit_picture_looks_like_its_eight_bit_version() -> None:
    sixteen_bit = (GREY.astype(np.float32) * 257 + 100).clip(0, 65_535)
    deep = Picture((sixteen_bit / 257).astype(np.float32))
    difference = overlays.render(deep, one_place(3, 3)).astype(int) - overlays.render(
        Picture(GREY), one_place(3, 3)
    )
    assert np.abs(difference).max() <= 1


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    longest_side=st.none() | st.integers(1, 64),
)
@settings(deadline=None)
def test_picture_and_map_of_any_size_give_an_overlay(
    height: int, width: int, rows: int, columns: int, longest_side: int | None
) -> None:
    picture = Picture(np.full((height, width), 7, dtype=np.uint8))
    found = overlays.render(picture, one_place(rows - 1, 0, (rows, columns)), longest_side)
    assert 1 <= max(found.shape[:2]) <= max(longest_side or 40, 1)


# --- peak and box ------------------------------------------------------------------------------------------


def test_peak_and_box_are_where_the_map_is_high() -> None:
    map_ = one_place(2, 7)
    map_[2, 6] = 0.5
    map_[9, 0] = 0.9  # high too, but apart from the peak
    peak = locate(map_, Region(0, 0, 1000, 2000))
    assert peak is not None
    # A parabola through 0, 1 and, on the left, 0.5 has its top a sixth of a place to the left.
    assert peak.point == (733, 500)
    assert peak.box == (600, 400, 200, 200)


def test_map_of_a_cropped_picture_points_into_the_square_that_the_network_saw(untrained: Classifier) -> None:
    pixels = untrained.card.pixels.model_copy(update={"center_crop": True})
    seen = visible_region(pixels, width=1500, height=1000)
    assert seen == Region(250, 0, 1000, 1000)
    peak = locate(one_place(2, 7), seen)
    assert peak is not None
    assert (peak.point, peak.box) == ((1000, 250), (950, 200, 100, 100))
    grey = Picture(np.full((100, 150), 100, dtype=np.uint8))
    drawn = overlays.render(grey, one_place(0, 9), region=visible_region(pixels, 150, 100))
    coloured = np.argwhere((drawn != 100).any(axis=-1))
    assert coloured.min(axis=0).tolist() == [0, 110]
    assert coloured.max(axis=0)[1] == 124, "nothing is drawn on what the network did not see"


def test_empty_map_points_nowhere() -> None:
    assert locate(NOTHING, Region(0, 0, 100, 100)) is None


@given(
    width=st.integers(1, 5000),
    height=st.integers(1, 5000),
    rows=st.integers(1, 16),
    columns=st.integers(1, 16),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_box_lies_in_the_image_and_holds_the_peak(
    width: int, height: int, rows: int, columns: int, seed: int
) -> None:
    map_ = np.random.default_rng(seed).random((rows, columns), dtype=np.float32)
    peak = locate(map_ / map_.max(), Region(0, 0, width, height))
    assert peak is not None
    x, y, box_width, box_height = peak.box
    assert 0 <= x <= peak.point[0] < x + box_width <= width
    assert 0 <= y <= peak.point[1] < y + box_height <= height


# --- what is written ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jpg", "a.JPG", "a.png", "not/yet/there/a.jpg"])
def test_overlay_is_written_in_the_format_of_its_name(tmp_path: Path, name: str) -> None:
    drawn = overlays.render(Picture(np.full((64, 64), 100, dtype=np.uint8)), one_place(4, 7))
    overlays.write_overlay(tmp_path / name, drawn)
    found = cv2.imread(str(tmp_path / name))
    assert found is not None
    assert np.abs(found.astype(int) - drawn).mean() < (4 if name.lower().endswith("jpg") else 1e-9)
    assert [path.name for path in (tmp_path / name).parent.iterdir()] == [Path(name).name]


def test_written_overlay_can_be_read_by_others(tmp_path: Path) -> None:
    overlays.write_overlay(tmp_path / "a.jpg", as_bgr(GREY))
    assert (tmp_path / "a.jpg").stat().st_mode & 0o777 == 0o644


def test_overlay_replaces_an_older_one(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"older")
    overlays.write_overlay(tmp_path / "a.png", as_bgr(GREY))
    found = cv2.imread(str(tmp_path / "a.png"))
    assert found is not None
    assert np.array_equal(found, as_bgr(GREY))


@pytest.mark.parametrize("name", ["a.xyz", "a"])
def test_name_of_no_known_format_is_an_os_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match=name):
        overlays.write_overlay(tmp_path / name, as_bgr(GREY))
    assert not list(tmp_path.iterdir())


def test_picture_that_the_format_cannot_hold_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"wide\.jpg"):
        overlays.write_overlay(tmp_path / "wide.jpg", np.zeros((1, 70_000, 3), dtype=np.uint8))
    assert not list(tmp_path.iterdir())


def test_folder_that_is_a_file_is_an_os_error_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "folder").touch()
    with pytest.raises(OSError, match="folder"):
        overlays.write_overlay(tmp_path / "folder" / "a.jpg", as_bgr(GREY))
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_place_that_is_taken_by_a_folder_is_an_os_error_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").mkdir()
    with pytest.raises(IsADirectoryError):
        overlays.write_overlay(tmp_path / "a.jpg", as_bgr(GREY))
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


def test_write_that_breaks_off_leaves_the_older_overlay_and_no_part_of_the_new_one(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"older")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The system refuses the bytes behind the first thousand, as a full disk does.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            overlays.write_overlay(tmp_path / "a.jpg", as_bgr(GREY))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]
    assert (tmp_path / "a.jpg").read_bytes() == b"older"


# --- where overlays lie ------------------------------------------------------------------------------------

_parts = st.sampled_from(["..", ".", "", "a", "b.png", "...", "~", " ", "-", "a\\..\\b", "\n"]) | st.text(
    max_size=8
)
NAMES = st.lists(_parts, min_size=1, max_size=8).map("/".join)


@given(image_index=NAMES, finding=st.sampled_from(("Mass", "Nodule", "Edema")))
@settings(max_examples=500)
def test_overlay_never_leaves_its_runs_folder(image_index: str, finding: str) -> None:
    # Such names mean a folder, or are refused when they are read, before there is anything to draw.
    assume(set(image_index.split("/")) - {"", ".", ".."})
    path = overlays.overlay_path(7, image_index, finding)
    folder = f"/overlays/run-000007/{finding}"
    assert PurePosixPath(os.path.normpath(f"/overlays/{path}")).is_relative_to(folder)


def test_images_of_the_same_name_in_different_folders_have_overlays_of_their_own() -> None:
    assert overlays.overlay_path(7, "a/x.png", "Mass") == "run-000007/Mass/a/x.png.jpg"
    assert overlays.overlay_path(7, "b/x.png", "Mass") == "run-000007/Mass/b/x.png.jpg"
    assert overlays.overlay_path(7, "a/x.jpg", "Mass") != overlays.overlay_path(7, "a/x.png", "Mass")
