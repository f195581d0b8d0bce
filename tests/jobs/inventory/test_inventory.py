"""Each file is kept or skipped, copies once, in the same order however many processes read them."""

from pathlib import Path

import pytest
from films import FILM, write_film
from picture_support import PLAIN

from jobs.errors import SourceError
from jobs.inventory import inventory as module
from jobs.inventory.inventory import Choice, take_inventory
from jobs.inventory.skips import Skip
from jobs.inventory.tables import manifest_csv, skipped_csv


def write_tree(root: Path, films: int = 60) -> None:
    """Write films, and a file of each other kind."""
    for number in range(films):
        view = ("PA", "AP", "LL", None)[number % 4]
        write_film(root / f"study-{number % 7}" / f"IM{number:04d}", ViewPosition=view)
    (root / "readme.txt").write_text("hello")
    (root / "cut.dcm").write_bytes((root / "study-0" / "IM0000").read_bytes()[:150])
    (root / "link").symlink_to(root / "readme.txt")
    (root / "out").symlink_to("/etc/passwd")


def test_kept_and_skipped_are_all_files(tmp_path: Path) -> None:
    write_tree(tmp_path)
    found = take_inventory(tmp_path, Choice())
    assert found.found == 64
    assert found.reasons() == {
        Skip.LATERAL: 15,
        Skip.LINK: 1,
        Skip.NOT_A_PICTURE: 1,
        Skip.OUTSIDE_ROOT: 1,
        Skip.UNREADABLE: 1,
    }
    names = [film.name for film in found.films]
    assert names == sorted(names)
    assert len({*names, *(file.name for file in found.skipped)}) == 64


@pytest.mark.processes
def test_the_number_of_processes_makes_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path, 300)
    alone = take_inventory(tmp_path, Choice(), processes=1)
    monkeypatch.setattr(module, "_ALONE", 0)
    seen: list[int] = []
    many = take_inventory(tmp_path, Choice(), processes=3, looked=lambda done, _: seen.append(done))
    assert manifest_csv(many) == manifest_csv(alone)
    assert skipped_csv(many) == skipped_csv(alone)
    assert seen == [64, 128, 192, 256, 302]


def test_a_copy_is_skipped_and_what_only_says_so_is_kept_and_counted(tmp_path: Path) -> None:
    for name, rows in (("a", 16), ("b", 16), ("c", 8)):
        write_film(tmp_path / name, SOPInstanceUID=FILM["SOPInstanceUID"], Rows=rows)
    write_film(tmp_path / "d")
    found = take_inventory(tmp_path, Choice())
    assert [film.name for film in found.films] == ["a", "c", "d"]
    assert [(file.name, file.reason) for file in found.skipped] == [("b", Skip.DUPLICATE)]
    assert found.alike == 2


def test_pictures_without_tags_are_kept_unless_only_dicom_is_wanted(tmp_path: Path) -> None:
    write_film(tmp_path / "film.dcm")
    (tmp_path / "film.png").write_bytes(PLAIN)
    assert [film.name for film in take_inventory(tmp_path, Choice()).films] == ["film.dcm", "film.png"]
    only = take_inventory(tmp_path, Choice(only_dicom=True))
    assert [film.name for film in only.films] == ["film.dcm"]
    assert only.reasons() == {Skip.NOT_DICOM: 1}


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        take_inventory(tmp_path / "nowhere" / "folder", Choice())


def test_real_films_are_described_as_their_headers_say(real_data: Path) -> None:
    found = take_inventory(real_data / "dicom", Choice())
    facts = {
        film.name: (film.view, film.age, film.sex, film.rows, film.photometric, film.spacing)
        for film in found.films
    }
    assert facts == {
        "chest_forged_monochrome1_jpeg_baseline.dcm": ("PA", "62", "M", 1024, "MONOCHROME1", "PixelSpacing"),
        "chest_monochrome1_10bit_explicit_le.dcm": ("PA", "", "", 440, "MONOCHROME1", ""),
        "chest_monochrome1_15bit_jpeg2000.dcm": ("PA", "", "F", 1955, "MONOCHROME1", ""),
        "chest_monochrome2_jpeg_baseline.dcm": ("PA", "62", "M", 1024, "MONOCHROME2", "PixelSpacing"),
    }
    # One film under both photometric interpretations has one UID, and is no copy.
    assert (found.found, found.alike) == (4, 2)
