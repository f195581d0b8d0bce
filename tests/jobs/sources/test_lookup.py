"""What is not below the images' root is known before the night begins, and where it is instead."""

from pathlib import Path

import pytest

from jobs.sources.lookup import Lookup, look_up

NAMES = [f"{number:08d}_000.png" for number in range(20)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    return folder


def fill(folder: Path, names: list[str] = NAMES) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_images_that_are_there_are_found_in_any_folder(root: Path) -> None:
    names = [*NAMES, *(f"sub/{name}" for name in NAMES), "one/a.png", "one/../b.png"]
    fill(root, names)
    assert look_up(root, names) == Lookup([], "", [])


def test_a_root_above_the_right_one_is_told_the_right_one(root: Path) -> None:
    fill(root / "images" / "all")
    missing, hint, _ = look_up(root, NAMES)
    assert missing == NAMES
    assert hint == f"20 of 20 are found below {root}/images/all: use --images {root}/images/all"


def test_a_root_below_the_right_one_is_told_the_right_one(root: Path) -> None:
    names = [f"images_001/{name}" for name in NAMES]
    fill(root, names)
    assert look_up(root / "images_001", names).hint.endswith(f"use --images {root}")


def test_a_folder_is_there_and_is_looked_for_as_a_file_is(root: Path) -> None:
    folders = [f"p{number}/flair" for number in range(6)]
    fill(root / "brats", [f"{folder}/1.dcm" for folder in folders])
    assert look_up(root / "brats", [*folders, "p0/flair/1.dcm"]) == Lookup([], "", [])
    for wrong, names in ((root, folders), (root / "brats" / "p1", folders), (root, ["flair"] * 6)):
        missing, hint, _ = look_up(wrong, names)
        assert missing == names
        assert hint.endswith(f"use --images {root}/brats") is (names is folders)


def test_images_spread_over_folders_are_said_to_be(root: Path) -> None:
    for number, name in enumerate(NAMES):
        fill(root / f"images_{number % 12:03d}" / "images", [name])
    assert look_up(root, NAMES).hint.startswith("they lie in 12 folders below it, such as images_0")


def test_links_count_where_they_lead_within_the_root_and_are_named_where_they_leave_it(root: Path) -> None:
    fill(root / "files")
    for name in NAMES:
        (root / name).symlink_to(root / "files" / name)
    assert look_up(root, NAMES).missing == []
    flat = root.parent / "flat"
    flat.mkdir()
    for name in NAMES:
        (flat / name).symlink_to(root / "files" / name)
    missing, hint, _ = look_up(flat, NAMES)
    assert missing == NAMES
    assert "links that lead out of the folder" in hint


def test_names_that_leave_the_root_are_missing_whatever_they_name(root: Path) -> None:
    fill(root.parent / "beside", NAMES)
    outside = [f"../beside/{name}" for name in NAMES] + [f"{root.parent}/beside/{NAMES[0]}"]
    assert look_up(root, outside).missing == outside


def test_names_that_lead_to_one_file_are_twins(root: Path) -> None:
    fill(root / "files")
    (root / "link.png").symlink_to(root / "files" / NAMES[0])
    (root / "folder").symlink_to(root / "files")
    names = [f"files/{name}" for name in NAMES]
    assert look_up(root, [*names, "link.png", f"folder/{NAMES[1]}"]) == Lookup(
        [], "", [(f"files/{NAMES[0]}", "link.png"), (f"files/{NAMES[1]}", f"folder/{NAMES[1]}")]
    )


@pytest.mark.parametrize(
    ("name", "file", "way"),
    [
        ("up.png", "UP.PNG", ""),
        ("1.2.840.99", "1.2.840.99.png", "; --image-name '{COLUMN}.png' adds the ending to a column's names"),
    ],
)
def test_a_name_of_other_case_or_without_its_ending_is_told_the_file(
    root: Path, name: str, file: str, way: str
) -> None:
    fill(root, [file])
    assert look_up(root, [name]).hint == f"'{name}' is there as '{file}'{way}"


def test_an_empty_folder_and_a_folder_that_is_a_file_have_no_hint(root: Path) -> None:
    (root / "a").touch()
    names = [f"a/{name}" for name in NAMES]
    assert look_up(root, names) == Lookup(names, "", [])
