"""A night over DICOM series, in folders and in a bucket: the segments are those of NIfTI files."""

import csv
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


def write_archive(folder: Path) -> dict[str, Path]:
    """Draw a head, and write it as files of single sequences and as series, one of which lacks a slice."""
    values, drawn = draw_case(5, 1)
    folder.mkdir()
    nibabel.Nifti1Image(drawn.label, affine()).to_filename(folder / "label.nii.gz")
    for index, sequence in enumerate(SEQUENCES):
        halved = values[..., index] * np.float32(0.5)
        nibabel.Nifti1Image(halved, affine()).to_filename(folder / f"{sequence}.nii.gz")
        for case in ("p1", "gap"):
            paths = write_series(
                folder / case / sequence,
                values[..., index],
                affine(),
                series_uid=uid_of(case, sequence),
                RescaleSlope="0.5",
                RescaleIntercept="0",
            )
    paths[30].unlink()
    names = {
        "nifti": [f"{sequence}.nii.gz" for sequence in SEQUENCES],
        "series": [f"p1/{sequence}/" for sequence in SEQUENCES],
        "gap": [f"gap/{sequence}" for sequence in SEQUENCES],
    }
    manifest = folder.with_name("cases.csv")
    with manifest.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow([*SEQUENCES, "Label"])
        table.writerows([*cells, "label.nii.gz"] for cells in names.values())
    return {"manifest": manifest, "folder": folder}


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
    archive = write_archive(tmp_path / "archive")
    order = ("score", archive["manifest"], "--images")
    asked = nightread.run("doctor", archive["manifest"], "--images", archive["folder"], "--quick")
    assert "all 3 images are there" in " ".join(asked.stdout.split()), asked.stdout + asked.stderr
    done = nightread.run(*order, archive["folder"])
    assert done.returncode == 3, done.stderr
    for path in archive["folder"].rglob("*"):
        if path.is_file():
            bucket.put(f"brats/{path.relative_to(archive['folder'])}", path.read_bytes())
    again = nightread.run(*order, f"{bucket.uri}/brats")
    assert again.returncode == 3, again.stderr

    expected = segments(nightread, 1, "FLAIR.nii.gz")
    assert {row["finding"]: row["dice"] for row in expected}["WT"] > 0.85  # type: ignore[operator]
    for run_id in (1, 2):
        assert segments(nightread, run_id, "p1/FLAIR") == expected
    masks = nightread.sql("SELECT image_index, mask_path FROM volumes ORDER BY run_id, image_index")
    assert [row["image_index"] for row in masks] == ["FLAIR.nii.gz", "p1/FLAIR"] * 2
    labels = [nibabel.load(nightread.home / "heatmaps" / row["mask_path"]) for row in masks]
    for other in labels[1:]:
        np.testing.assert_array_equal(np.asarray(labels[0].dataobj), np.asarray(other.dataobj))
        np.testing.assert_array_equal(labels[0].affine, other.affine)
    failures = nightread.sql("SELECT run_id, image_index, reason, message FROM failures ORDER BY run_id")
    assert [(row["run_id"], row["image_index"], row["reason"]) for row in failures] == [
        (1, "gap/FLAIR", "wrong_shape"),
        (2, "gap/FLAIR", "wrong_shape"),
    ]
    assert failures[0]["message"].startswith("T2: between ")
    assert nightread.sql("SELECT DISTINCT changed FROM contents WHERE run_id = 2") == [{"changed": None}]
    logs = b"".join(path.read_bytes() for path in nightread.home.rglob("*.log"))
    said = (
        logs.decode(errors="replace")
        + done.stdout
        + done.stderr
        + again.stdout
        + again.stderr
        + str(failures)
    )
    assert "SEEDED" not in said
