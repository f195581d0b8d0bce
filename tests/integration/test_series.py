"""A night over DICOM series, in folders and in a bucket: the segments are those of NIfTI files."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from object_store import Bucket
from series_support import uid_of, write_series
from support import Nightread

from jobs.phantoms.volumes.archive import affine, draw_case
from jobs.phantoms.volumes.scanner import SEQUENCES

pytestmark = pytest.mark.processes


def write_archive(folder: Path) -> list[str]:
    """Draw a part of a head, and write it as files and as series, of which one lacks a slice.

    Returns the lines of a manifest: its header, then the case of files and the two of series.
    """
    values, drawn = draw_case(5, 1)
    values, label = values[:, :, 16:48], drawn.label[:, :, 16:48]
    place = affine()
    place[2, 3] += 16 * place[2, 2]
    folder.mkdir()
    nibabel.Nifti1Image(label, place).to_filename(folder / "label.nii.gz")
    for index, sequence in enumerate(SEQUENCES):
        halved = values[..., index] * np.float32(0.5)
        nibabel.Nifti1Image(halved, place).to_filename(folder / f"{sequence}.nii.gz")
        for case in ("p1", "gap"):
            paths = write_series(
                folder / case / sequence,
                values[..., index],
                place,
                series_uid=uid_of(case, sequence),
                RescaleSlope="0.5",
            )
    paths[20].unlink()
    names = (
        [*SEQUENCES, "Label"],
        [*(f"{sequence}.nii.gz" for sequence in SEQUENCES), "label.nii.gz"],
        [*(f"p1/{sequence}/" for sequence in SEQUENCES), "label.nii.gz"],
        [*(f"gap/{sequence}" for sequence in SEQUENCES), ""],
    )
    return [",".join(cells) + "\n" for cells in names]


def segments(nightread: Nightread, run_id: int, case: str) -> list[dict[str, object]]:
    found = nightread.sql(
        f"SELECT * FROM segments WHERE run_id = {run_id} AND image_index = '{case}' ORDER BY finding"
    )
    return [
        {name: value for name, value in row.items() if name not in {"run_id", "image_index", "mask_path"}}
        for row in found
    ]


@pytest.mark.timeout(600)
def test_series_in_folders_and_in_a_bucket_are_segmented_as_nifti_files_are(
    nightread: Nightread, bucket: Bucket, tmp_path: Path
) -> None:
    nightread.environment |= {"NIGHTREAD_ENGINE": "openvino", "NIGHTREAD_MODEL": "demo-volumes"}
    folder, all_cases, series = tmp_path / "archive", tmp_path / "all.csv", tmp_path / "series.csv"
    lines = write_archive(folder)
    all_cases.write_text("".join(lines), encoding="utf-8")
    series.write_text(lines[0] + lines[2], encoding="utf-8")
    asked = nightread.call("doctor", all_cases, "--images", folder, "--quick")
    assert "all 3 images are there" in " ".join(asked.stdout.split()), asked.stdout + asked.stderr
    done = nightread.run("score", all_cases, "--images", folder)
    assert done.returncode == 3, done.stderr
    for path in (folder / "label.nii.gz", *(folder / "p1").rglob("*.dcm")):
        bucket.put(f"brats/{path.relative_to(folder)}", path.read_bytes())
    again = nightread.run("score", series, "--images", f"{bucket.uri}/brats")
    assert again.returncode == 0, again.stderr

    expected = segments(nightread, 1, "FLAIR.nii.gz")
    assert {row["finding"]: row["dice"] for row in expected}["WT"] > 0.8  # type: ignore[operator]
    for run_id in (1, 2):
        assert segments(nightread, run_id, "p1/FLAIR") == expected
    masks = nightread.sql("SELECT image_index, mask_path FROM volumes ORDER BY run_id, image_index")
    assert [row["image_index"] for row in masks] == ["FLAIR.nii.gz", "p1/FLAIR", "p1/FLAIR"]
    labels = [nibabel.load(nightread.home / "heatmaps" / row["mask_path"]) for row in masks]
    for other in labels[1:]:
        np.testing.assert_array_equal(np.asarray(labels[0].dataobj), np.asarray(other.dataobj))
        np.testing.assert_array_equal(labels[0].affine, other.affine)
    (failure,) = nightread.sql("SELECT run_id, image_index, reason, message FROM failures")
    assert (failure["run_id"], failure["image_index"], failure["reason"]) == (1, "gap/FLAIR", "wrong_shape")
    assert failure["message"].startswith("T2: between ")
    logs = b"".join(path.read_bytes() for path in nightread.home.rglob("*.log"))
    said = (
        logs.decode(errors="replace") + done.stdout + done.stderr + again.stdout + again.stderr + str(failure)
    )
    assert "SEEDED" not in said
