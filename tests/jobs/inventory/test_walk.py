"""Every file of a tree is found once, links lead nowhere, and no name is lost."""

import os
from pathlib import Path

import pytest

from jobs.inventory.skips import Skip, Skipped
from jobs.inventory.walk import walk


def walked(root: Path) -> tuple[list[str], dict[str, Skip]]:
    names, skipped = walk(root, (), lambda _: None)
    assert len({file.name for file in skipped}) == len(skipped)
    return names, {file.name: file.reason for file in skipped}


def test_names_are_relative_and_sorted(tmp_path: Path) -> None:
    for name in ("b/c/1", "b/2", "a", "ü.dcm", "with, comma", "=1+1", ".hidden/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names, skipped = walked(tmp_path)
    assert names == sorted(["b/c/1", "b/2", "a", "ü.dcm", "with, comma", "=1+1", ".hidden/x"])
    assert not skipped


def test_links_are_named_and_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "film").touch()
    (tmp_path / "secret").touch()
    (root / "inside").symlink_to(root / "folder" / "film")
    (root / "loop").symlink_to(root)
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "out-folder").symlink_to(tmp_path)
    (root / "beside").symlink_to(tmp_path / "rooted")
    names, skipped = walked(root)
    assert names == ["folder/film"]
    assert skipped == {
        "inside": Skip.LINK,
        "loop": Skip.LINK,
        "out": Skip.OUTSIDE_ROOT,
        "out-folder": Skip.OUTSIDE_ROOT,
        "beside": Skip.OUTSIDE_ROOT,
    }


def test_a_root_that_is_a_link_is_walked(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "film").touch()
    (tmp_path / "archive" / "again").symlink_to(tmp_path / "archive" / "film")
    (tmp_path / "link").symlink_to(tmp_path / "archive")
    assert walked(tmp_path / "link") == (["film"], {"again": Skip.LINK})


@pytest.mark.parametrize("name", [b"a\nb", b"a\\b", b" a", b"a ", b"\xff.dcm", b"a\x7f"])
def test_a_name_that_no_manifest_gives_back_is_passed_over(tmp_path: Path, name: bytes) -> None:
    with open(os.fsencode(tmp_path) + b"/" + name, "wb"):  # noqa: PTH123  # a path is of text
        pass
    names, skipped = walked(tmp_path)
    assert (names, [*skipped.values()]) == ([], [Skip.BAD_NAME])


def test_pipes_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert walked(tmp_path) == ([], {"pipe": Skip.NOT_A_FILE})


def test_a_folder_that_may_not_be_listed_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "film").touch()
    listing = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("closed/"):
            raise PermissionError
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert walk(tmp_path, (), lambda _: None) == (["film"], [Skipped("closed/", Skip.UNREADABLE)])


def test_nightreads_own_folders_are_not_walked(tmp_path: Path) -> None:
    home = tmp_path / "archive" / "nightread-home"
    (home / "heatmaps").mkdir(parents=True)
    (home / "heatmaps" / "overlay.jpg").touch()
    (tmp_path / "archive" / "film").touch()
    own = (home, home / "heatmaps")
    found = (["film"], [Skipped("nightread-home/", Skip.NIGHTREADS_OWN)])
    assert walk(tmp_path / "archive", own, lambda _: None) == found
    # Who names what is in it means it: the demo's archive is there.
    assert walk(home, own, lambda _: None) == ([], [Skipped("heatmaps/", Skip.NIGHTREADS_OWN)])
