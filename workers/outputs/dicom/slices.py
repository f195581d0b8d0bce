"""The slices of a case's series, read again: where they lie, and what each says of patient and study."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.failures import ImageUnusableError, Reason
from jobs.sources.source import ImageSource
from workers.cases import read_scan
from workers.inference.formats import dicom
from workers.inference.formats.strangers import HEAD
from workers.inference.volumes.scan import MOST_FILE_BYTES
from workers.outputs.dicom.film import Film, film_of


@dataclass(frozen=True, slots=True)
class Slices:
    """A series without its pixels: its slices along z, its voxels along x, y and z, and its affine.

    `films`: one per slice, or a single one of which the slices are frames.
    """

    films: tuple[Film, ...]
    shape: tuple[int, ...]
    affine: NDArray[np.float64]


def read_slices(source: ImageSource, name: str, max_voxels: int) -> Slices | None:
    """Read a series in the way in which it was scored; None where a name is that of another file.

    Raises as a source does, and ImageUnusableError.
    """
    lone = tuple(source.parts(name)) == (name,)
    if lone and not dicom.matches(source.read(name, MOST_FILE_BYTES).data[:HEAD]):
        return None
    scan = read_scan(source, name, max_voxels, [])
    files = [name] if lone else [f"{name}/{below}" for below in dict.fromkeys(scan.slices)]
    if 1 < len(files) < len(scan.slices):
        raise ImageUnusableError(
            Reason.WRONG_FORMAT, "its slices are frames of several files, and a segmentation can lie on one"
        )

    def film(file: str) -> Film:
        found = film_of(source.read(file, MOST_FILE_BYTES).data, max_voxels)
        if found is None:
            raise ImageUnusableError(Reason.DAMAGED, "a slice is not what it was a moment ago")
        return found

    with ThreadPoolExecutor(source.readers, thread_name_prefix="slices") as pool:
        return Slices(tuple(pool.map(film, files)), scan.values.shape, scan.affine)
