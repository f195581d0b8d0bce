"""Masks: a case's labels as a NIfTI file that lies where its image lies."""

import os
from functools import partial
from pathlib import PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.failures import ImageUnusableError
from config.files import run_folder
from db.deliveries import NO_MASK
from jobs.errors import AwayError
from workers.inference.volumes.nifti import read_nifti, write_nifti
from workers.inference.volumes.scan import Scan
from workers.outputs.folder import OutputFolder
from workers.outputs.overlays import confined

_ENDING: Final = "_mask.nii.gz"


class MaskLostError(Exception):
    """A case has no mask any more, or never had one, as there could not be such a file."""

    reason: Final = NO_MASK


class Masks(OutputFolder):
    """The masks of runs."""

    what = "a mask"

    def write(
        self, run_id: int, image_index: str, labels: NDArray[np.uint8], affine: NDArray[np.float64]
    ) -> str | None:
        """Write labels (x, y, z), whole or not at all.

        Returns the path below the folder, None where there cannot be such a file.
        """
        return self._keep(run_id, mask_path(run_id, image_index), partial(write_nifti, labels, affine))

    def read(self, path: str | None, max_voxels: int) -> Scan:
        """Return the labels that lie under a path of `write`.

        Raises MaskLostError where there are none, and AwayError where the folder is not there.
        """
        if path is None:
            raise MaskLostError
        try:
            return read_nifti((self._folder / path).read_bytes(), max_voxels)
        except (OSError, ImageUnusableError):
            # Unlike Path.is_dir, it says no to whatever keeps the folder from being looked at.
            if not os.path.isdir(self._folder):  # noqa: PTH112
                raise AwayError(f"{self._folder}: the folder of masks is not there now") from None
            raise MaskLostError from None


def mask_path(run_id: int, image_index: str) -> str:
    """Name a mask below the outputs' folder: run, masks, then the case's own path."""
    below = confined(image_index)
    stem = below.name.removesuffix(".gz").removesuffix(".nii")
    return str(PurePosixPath(run_folder(run_id), "masks", below.with_name(f"{stem}{_ENDING}")))
