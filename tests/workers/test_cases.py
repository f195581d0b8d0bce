"""What a manifest's cell names is read as one scan, be it a file or a folder of slices, and has one tag."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from series_support import slice_of, write_series

from config.content import Content
from config.failures import ImageUnusableError, Reason
from jobs.errors import SourceAwayError
from jobs.sources.folder import FolderSource
from workers import cases
from workers.cases import read_scan
from workers.inference.volumes.scan import Scan

MOST = 10_000
AFFINE = np.diag([2.0, 2.0, 2.5, 1.0])
VALUES = np.random.default_rng(2).integers(0, 900, (8, 6, 5), dtype=np.int16)


def read(root: Path, name: str) -> tuple[Scan, str]:
    tags: list[str] = []
    scan = read_scan(FolderSource(root), name, MOST, tags)
    (tag,) = tags
    return scan, tag


def refusal(root: Path, name: str) -> tuple[Reason, str, list[str]]:
    tags: list[str] = []
    with pytest.raises(ImageUnusableError) as caught:
        read_scan(FolderSource(root), name, MOST, tags)
    return caught.value.reason, caught.value.message, tags


def test_a_file_and_a_folder_of_the_same_numbers_are_the_same_scan(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VALUES, AFFINE)
    image.header.set_slope_inter(0.5, -20)
    (tmp_path / "flair.nii").write_bytes(image.to_bytes())
    stored = np.asarray(nibabel.Nifti1Image.from_bytes(image.to_bytes()).dataobj.get_unscaled())
    write_series(tmp_path / "flair", stored, AFFINE, RescaleSlope="0.5", RescaleIntercept="-20")
    file, folder = read(tmp_path, "flair.nii")[0], read(tmp_path, "flair")[0]
    np.testing.assert_array_equal(file.values, folder.values)
    np.testing.assert_array_equal(file.affine, folder.affine)


def test_the_tag_of_a_series_changes_with_each_of_its_files(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "t1", VALUES, AFFINE)
    (tmp_path / "t1" / ".DS_Store").write_bytes(b"hidden, and no part of it")
    tag = read(tmp_path, "t1")[1]
    assert read(tmp_path, "t1")[1] == tag
    (tmp_path / "t1" / ".DS_Store").unlink()
    assert read(tmp_path, "t1")[1] == tag
    slice_of(VALUES + 1, AFFINE, 2).save_as(paths[2], enforce_file_format=True)
    changed = read(tmp_path, "t1")[1]
    write_series(tmp_path / "t1", np.concatenate([VALUES, VALUES[..., :1]], axis=2), AFFINE)
    longer = read(tmp_path, "t1")[1]
    paths[2].rename(tmp_path / "t1" / "renamed.dcm")
    assert len({tag, changed, longer, read(tmp_path, "t1")[1]}) == 4


def test_an_unusable_series_has_the_tag_of_what_was_read(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "t1", VALUES, AFFINE)
    tag = read(tmp_path, "t1")[1]
    paths[2].unlink()
    reason, _, tags = refusal(tmp_path, "t1")
    assert reason is Reason.WRONG_SHAPE
    assert len(tags) == 1
    assert tags != [tag]
    (tmp_path / "none").mkdir()
    assert refusal(tmp_path, "none") == (Reason.EMPTY, "there is no file in it", [])


def test_a_file_of_a_series_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "t1", VALUES, AFFINE)
    paths[3].write_bytes(b"")
    reason, message, _ = refusal(tmp_path, "t1")
    assert (reason, message) == (Reason.EMPTY, f"'{paths[3].name}': the file has 0 bytes")
    paths[3].unlink()
    paths[3].symlink_to("/etc/hostname")
    reason, message, _ = refusal(tmp_path, "t1")
    assert reason is Reason.OUTSIDE_ROOT
    assert paths[3].name in message


def test_one_dicom_file_is_no_volume(tmp_path: Path) -> None:
    (path, *_) = write_series(tmp_path, VALUES, AFFINE)
    reason, message, _ = refusal(tmp_path, path.name)
    assert reason is Reason.WRONG_SHAPE
    assert message.startswith("it has one slice")


def test_the_bytes_of_a_series_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_series(tmp_path / "t1", VALUES, AFFINE)
    size = sum(path.stat().st_size for path in paths)
    monkeypatch.setattr(cases, "MOST_FILE_BYTES", size)
    read(tmp_path, "t1")
    monkeypatch.setattr(cases, "MOST_FILE_BYTES", size - 1)
    assert refusal(tmp_path, "t1")[0] is Reason.TOO_LARGE


def test_a_source_that_is_away_while_a_series_is_read_is_no_fault_of_the_series(tmp_path: Path) -> None:
    write_series(tmp_path / "t1", VALUES, AFFINE)

    class Leaving(FolderSource):
        def read(self, name: str, max_bytes: int) -> Content:
            if name.endswith("03743.dcm"):
                raise SourceAwayError("it is away")
            return super().read(name, max_bytes)

    with pytest.raises(SourceAwayError):
        read_scan(Leaving(tmp_path), "t1", MOST, [])
