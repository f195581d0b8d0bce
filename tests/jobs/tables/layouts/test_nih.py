"""NIH's images in the folders of Kaggle's archive."""

from pathlib import Path

import pytest
from miniatures import NIH, NIH_KAGGLE

from jobs.tables.manifest import Manifest
from jobs.tables.table import TableError


def test_without_the_folders_names_are_as_written(tmp_path: Path) -> None:
    path = NIH_KAGGLE.write(tmp_path)
    assert [row.image_index for row in Manifest(path)] == list(NIH.labels)


def test_an_image_that_is_in_two_folders_is_refused(tmp_path: Path) -> None:
    path = NIH_KAGGLE.write(tmp_path)
    (tmp_path / "images_012/images/00000007_001.png").write_bytes(b"again")
    with pytest.raises(TableError, match=r"line 3, column 'Image Index': .* is in 2 folders"):
        Manifest(path, root=str(tmp_path))


def test_the_folders_belong_to_the_fingerprint(tmp_path: Path) -> None:
    path = NIH_KAGGLE.write(tmp_path)
    assert Manifest(path).fingerprint() != Manifest(path, root=str(tmp_path)).fingerprint()
