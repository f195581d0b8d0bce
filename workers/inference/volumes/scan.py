"""What a file of a volume, or a series of slices, holds: values on a grid, and where the grid lies."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.failures import ImageUnusableError, Reason

MOST_FILE_BYTES: Final = 2**30
"""Of a scan's file as it is stored, or of all files of a series."""

SPACE: Final = 3
"""Dimensions of a volume; a fourth is its channels."""

LPS_TO_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From DICOM's axes of the patient, to the left, to the back and up, to NIfTI's; its own inverse."""


@dataclass(frozen=True, slots=True)
class Scan:
    """Values, (x, y, z) or (x, y, z, channels), and the affine from voxels to millimetres, as NIfTI has it.

    The axes in millimetres point to the right, to the front and up. `slices`: of a DICOM series, the names of
    its files along z; that of several frames is there once for each.
    """

    values: NDArray[np.float32]
    affine: NDArray[np.float64]
    slices: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """How many volumes it holds."""
        return self.values.shape[SPACE] if self.values.ndim > SPACE else 1


def require_numbers(scan: Scan) -> Scan:
    """Return a scan; ImageUnusableError where a value is no number, or a voxel has no volume."""
    affine, values = scan.affine, scan.values
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < np.finfo(np.float32).tiny:
        raise ImageUnusableError(Reason.DAMAGED, "its affine gives voxels no volume")
    wrong = values.size - int(np.count_nonzero(np.isfinite(values)))
    if wrong:
        raise ImageUnusableError(Reason.BAD_VALUES, f"{wrong:,} of its voxels are no number")
    return scan


@contextmanager
def about(name: str) -> Iterator[None]:
    """Say in an error which file of a series it is about."""
    try:
        yield
    except ImageUnusableError as error:
        raise ImageUnusableError(error.reason, f"{name!r}: {error.message}") from None
