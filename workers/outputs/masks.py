"""Masks: a case's labels as a NIfTI file that lies where its image lies."""

from functools import partial
from pathlib import PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.files import run_folder
from workers.inference.volumes.nifti import write_nifti
from workers.outputs.folder import OutputFolder
from workers.outputs.overlays import confined

_ENDING: Final = "_mask.nii.gz"


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


def mask_path(run_id: int, image_index: str) -> str:
    """Name a mask below the outputs' folder: run, masks, then the case's own path."""
    below = confined(image_index)
    stem = below.name.removesuffix(".gz").removesuffix(".nii")
    return str(PurePosixPath(run_folder(run_id), "masks", below.with_name(f"{stem}{_ENDING}")))
