"""Makes archives of drawn heads: NIfTI files with their labels, and the manifest that lists them.

They stand in for patients where none may be used, as the radiographs of `jobs.phantoms.archive` do.
"""

import csv
import gzip
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from io import StringIO
from pathlib import Path
from typing import Final

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from config.files import write_whole
from jobs.phantoms.volumes.head import SHAPE, SPACING_MM, Head, build_head
from jobs.phantoms.volumes.scanner import scan

MANIFEST_HEADER: Final = ("Image", "Label", "PatientId")

_COMPRESSION: Final = 1
"""Noise does not compress: level 6 takes longer, and saves next to nothing."""


def affine() -> NDArray[np.float64]:
    """Return the affine of all drawn heads: voxels to millimetres, x to the right, y to the front, z up."""
    matrix = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    matrix[:3, 3] = [-(side - 1) / 2 * SPACING_MM for side in SHAPE]
    return matrix


def draw_case(seed: int, patient: int) -> tuple[NDArray[np.int16], Head]:
    """Return the sequences (x, y, z, 4) and the anatomy of a patient; the same numbers give the same head."""
    rng = np.random.default_rng([seed, patient])
    head = build_head(rng)
    return scan(head, rng), head


def write_volumes(
    folder: Path,
    cases: int,
    seed: int = 0,
    *,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write `folder/images/*.nii.gz`, `folder/labels/*.nii.gz` and `folder/manifest.csv`; return the last.

    Files appear whole or not at all, and the manifest last, so an archive that has one is complete.
    `progress` is called in this thread with the number of cases finished so far. Raises OSError where the
    folder cannot be written.
    """
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    patients = range(1, cases + 1)
    workers = threads or min(os.cpu_count() or 1, 4)
    with ThreadPoolExecutor(workers, thread_name_prefix="phantom") as pool:
        jobs = [pool.submit(_write_case, folder, seed, patient) for patient in patients]
        try:
            for finished, job in enumerate(as_completed(jobs), start=1):
                job.result()
                if progress is not None:
                    progress(finished)
        except BaseException:
            # After a full disk or Ctrl-C, the rest of a long archive must not be waited for.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(MANIFEST_HEADER)
    table.writerows(
        (f"images/{_name(seed, patient)}", f"labels/{_name(seed, patient)}", f"{seed}-{patient}")
        for patient in patients
    )
    manifest = folder / "manifest.csv"
    write_whole(manifest, text.getvalue().encode())
    return manifest


def _name(seed: int, patient: int) -> str:
    return f"head_{seed:03d}_{patient:04d}.nii.gz"


def _write_case(folder: Path, seed: int, patient: int) -> None:
    image, head = draw_case(seed, patient)
    write_whole(folder / "images" / _name(seed, patient), _as_nifti(image))
    write_whole(folder / "labels" / _name(seed, patient), _as_nifti(head.label))


def _as_nifti(voxels: NDArray[np.int16] | NDArray[np.uint8]) -> bytes:
    image = nib.Nifti1Image(voxels, affine())
    image.header.set_xyzt_units("mm")
    # Without a time of its own: the same head is the same file.
    return gzip.compress(image.to_bytes(), _COMPRESSION, mtime=0)
