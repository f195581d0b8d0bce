"""A DICOMDIR names files; they are looked into as any, wherever it leads and however it is damaged."""

from pathlib import Path

import pytest
from films import PATIENT, film_of, write_directory, write_film
from pydicom.uid import DeflatedExplicitVRLittleEndian

from jobs.inventory.directory import DirectoryError
from jobs.inventory.inventory import Choice, take_inventory
from jobs.inventory.skips import Skip


def test_the_files_that_it_names_are_the_inventory(tmp_path: Path) -> None:
    write_film(tmp_path / "IMAGES" / "IM1")
    write_film(tmp_path / "images2" / "im2")  # as a mounted CD shows IMAGES2/IM2
    write_film(tmp_path / "IMAGES" / "UNNAMED")
    write_film(tmp_path.parent / "outside")
    path = write_directory(
        tmp_path / "DICOMDIR",
        ["IMAGES", "IM1"],
        ["IMAGES2", "IM2"],
        ["GONE"],
        ["..", "outside"],
    )
    found = take_inventory(path, Choice())
    assert [film.name for film in found.films] == ["IMAGES/IM1", "images2/im2"]
    assert [*found.skipped] == [("../outside", Skip.OUTSIDE_ROOT, ""), ("GONE", Skip.MISSING, "")]
    assert found.root == str(tmp_path)


def test_a_folder_with_one_is_walked_and_it_is_no_picture(tmp_path: Path) -> None:
    write_film(tmp_path / "IM1")
    write_film(tmp_path / "UNNAMED")
    write_directory(tmp_path / "DICOMDIR", ["IM1"])
    found = take_inventory(tmp_path, Choice())
    assert [film.name for film in found.films] == ["IM1", "UNNAMED"]
    assert found.reasons() == {Skip.DICOMDIR: 1}


@pytest.mark.parametrize("content", [b"", b"hello", film_of(), film_of(DeflatedExplicitVRLittleEndian), None])
def test_what_is_neither_folder_nor_directory_is_refused_without_a_value(
    tmp_path: Path, content: bytes | None
) -> None:
    path = write_directory(tmp_path / "DICOMDIR", ["IM1"])
    path.write_bytes(path.read_bytes()[:400] if content is None else content)
    try:
        found = take_inventory(path, Choice())
    except DirectoryError as error:
        assert str(path) in str(error)  # noqa: PT017  # either is right where it is cut
        assert PATIENT["PatientName"] not in str(error)  # noqa: PT017
    else:
        assert content is None
        assert not found.films
