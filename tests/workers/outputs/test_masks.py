"""Masks and pictures of volumes stay below their run's folder, and a disk that is full is waited for."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from storm.disks import disk, fill
from volume_support import AFFINE, OBLIQUE, head

from workers.inference.volumes.volume import Volume
from workers.outputs.folder import OutputAwayError
from workers.outputs.masks import Masks, mask_path
from workers.outputs.planes import Planes, planes_path, render_planes

VALUES = head().astype(np.float32)
FOUND = (VALUES[..., 0] > 450).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "sub/a.nii.gz", "../a.nii.gz", "/etc/a.nii.gz"])
def test_files_stay_below_the_runs_folder(tmp_path: Path, name: str) -> None:
    mask = Masks(tmp_path).write(7, name, FOUND, OBLIQUE)
    picture = Planes(tmp_path).write(7, name, Volume(VALUES, OBLIQUE), FOUND, None)
    assert (mask, picture) == (mask_path(7, name), planes_path(7, name))
    for path in (mask, picture):
        assert path is not None
        assert (tmp_path / path).resolve().is_relative_to(tmp_path / "run-000007")
        assert (tmp_path / path).is_file()


@pytest.mark.processes
def test_a_disk_that_is_full_is_waited_for_and_asked_before_the_case_is_segmented_again() -> None:
    with disk("256k") as folder:
        masks, planes = Masks(folder), Planes(folder)
        masks.require()
        assert masks.write(7, "a.nii", FOUND, OBLIQUE)
        filler = fill(folder)
        with pytest.raises(OutputAwayError, match=f"^a mask cannot be written below {folder} now: No space"):
            masks.write(7, "b.nii", FOUND, OBLIQUE)
        with pytest.raises(OutputAwayError, match="a picture"):
            planes.write(7, "b.nii", Volume(VALUES, OBLIQUE), FOUND, None)
        with pytest.raises(OutputAwayError, match="No space"):
            masks.require()
        filler.unlink()
        masks.require()
        assert masks.write(7, "b.nii", FOUND, OBLIQUE)
        assert not list(folder.rglob(".*")), "no half file is left"


@pytest.mark.processes
def test_a_read_only_disk_is_waited_for() -> None:
    with disk("256k") as folder:
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        with pytest.raises(OutputAwayError, match="Read-only"):
            Masks(folder).write(7, "a.nii", FOUND, OBLIQUE)


def test_a_disk_that_refuses_costs_the_file_alone(tmp_path: Path) -> None:
    (tmp_path / "run-000007").write_text("in the way", encoding="utf-8")
    assert Masks(tmp_path).write(7, "a.nii", FOUND, OBLIQUE) is None
    assert Planes(tmp_path).write(7, "a.nii", Volume(VALUES, OBLIQUE), FOUND, None) is None


def test_a_millimetre_is_as_long_in_each_direction() -> None:
    thick = render_planes(Volume(VALUES, np.diag([1.0, 1.0, 4.0, 1.0])), FOUND, None)
    thin = render_planes(Volume(VALUES, AFFINE), FOUND, None)
    assert VALUES.shape[:3] == (24, 20, 12)
    # The planes are 20 x 48, 24 x 48 and 24 x 20 mm; or 20 x 12, 24 x 12 and 24 x 20 mm.
    assert thick.shape[:2] == (256, sum(round(mm * 256 / 48) for mm in (20, 24, 24)) + 3 * 4)
    assert thin.shape[:2] == (213, sum(round(mm * 256 / 24) for mm in (20, 24, 24)) + 3 * 4)


def test_a_case_without_anything_found_is_shown_in_its_middle() -> None:
    nothing = np.zeros_like(FOUND)
    picture = render_planes(Volume(VALUES, AFFINE), nothing, nothing)
    assert (picture[..., 0] == picture[..., 2]).all()  # no outline
    assert picture.any()
