"""Drawn heads: the same numbers give the same files, nested as tumours are, and readable as NIfTI."""

import csv
import hashlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from jobs.phantoms.volumes.archive import affine, draw_case, write_volumes
from jobs.phantoms.volumes.head import SHAPE, Head, Tissue, build_head


def head(number: int) -> Head:
    return build_head(np.random.default_rng([9, number]))


def test_tumours_are_nested_and_inside_the_brain() -> None:
    whole = 0
    for number in range(1, 7):
        drawn = head(number)
        tumour, core, enhancing = (drawn.label >= value for value in (1, 2, 3))
        assert not (tumour & (drawn.tissues == Tissue.OUTSIDE)).any()
        assert not (enhancing & ~core).any()
        assert not (core & ~tumour).any()
        if not enhancing.any():
            continue
        whole += 1
        dead = drawn.label == 2
        beside = binary_dilation(dead) & ~dead
        assert np.isin(drawn.label[beside], (2, 3)).mean() > 0.9, (
            "what enhances surrounds the rest of the core"
        )
        assert 5_000 < tumour.sum() * 8 < 200_000, "millimetres cubed"
    assert whole >= 3


def test_brain_has_ventricles_in_its_middle_and_zeros_around_it() -> None:
    image, drawn = draw_case(9, 1)
    assert image.shape == (*SHAPE, 4)
    outside = drawn.tissues == Tissue.OUTSIDE
    assert not image[outside].any()
    assert (image[~outside] > 0).all()
    assert outside[0].all(), "a margin, so that cropping has something to do"
    middle = drawn.tissues[36:60, 30:66, 28:44]
    assert (middle == Tissue.FLUID).mean() > 0.05


def test_sequences_tell_tissues_apart_as_real_ones_do() -> None:
    image, drawn = draw_case(9, 2)
    flair, t1, t1gd, t2 = (
        {tissue: float(np.median(image[drawn.tissues == tissue, channel])) for tissue in Tissue}
        for channel in range(4)
    )
    assert flair[Tissue.EDEMA] > flair[Tissue.WHITE] > flair[Tissue.FLUID]
    assert t1[Tissue.WHITE] > t1[Tissue.GREY] > t1[Tissue.FLUID]
    assert t2[Tissue.FLUID] > t2[Tissue.GREY] > t2[Tissue.WHITE]
    assert t1gd[Tissue.ENHANCING] > t1gd[Tissue.WHITE]


def test_files_are_the_same_for_the_same_numbers_and_others_for_others(tmp_path: Path) -> None:
    def digests(folder: str, seed: int) -> dict[str, str]:
        manifest = write_volumes(tmp_path / folder, 2, seed)
        return {
            str(path.relative_to(manifest.parent)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in manifest.parent.rglob("*.*")
        }

    first = digests("a", 4)
    assert first == digests("b", 4)
    assert len(set(first.values())) == 5
    assert not set(first.values()) & set(digests("c", 5).values())


def test_manifest_names_files_that_belong_together(tmp_path: Path) -> None:
    done: list[int] = []
    manifest = write_volumes(tmp_path, 2, 6, progress=done.append)
    assert done == [1, 2]
    with manifest.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len({row["PatientId"] for row in rows}) == 2
    for row in rows:
        image, label = (nibabel.load(tmp_path / row[name]) for name in ("Image", "Label"))
        assert image.shape == (*SHAPE, 4)
        assert label.shape == SHAPE
        for loaded in (image, label):
            np.testing.assert_allclose(loaded.affine, affine())
        assert set(np.unique(label.dataobj)) <= {0, 1, 2, 3}


def test_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("in the way")
    with pytest.raises(OSError, match="images"):
        write_volumes(tmp_path, 1)
