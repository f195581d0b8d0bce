"""Masks: a case's labels as a NIfTI file that lies where its image lies."""

import logging
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.files import run_folder, write_whole
from workers.inference.volumes.nifti import write_nifti
from workers.outputs.overlays import confined

log = logging.getLogger(__name__)

_ENDING: Final = "_mask.nii.gz"


class Masks:
    """The masks of runs, below one folder that all workers share."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; what lies below it is made when it is needed."""
        self._folder = folder

    def write(
        self, run_id: int, image_index: str, labels: NDArray[np.uint8], affine: NDArray[np.float64]
    ) -> str | None:
        """Write labels (x, y, z), whole or not at all.

        Returns the path below the folder, None if the disk refuses it.
        """
        path = mask_path(run_id, image_index)
        try:
            (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._folder / path, write_nifti(labels, affine), durable=False)
        except OSError as error:
            reason = error.strerror or type(error).__name__  # the path may hold a patient's number
            log.warning("run %d: a mask was not written: %s", run_id, reason)
            return None
        return path


def mask_path(run_id: int, image_index: str) -> str:
    """Name a mask below the outputs' folder: run, masks, then the case's own path."""
    below = confined(image_index)
    stem = below.name.removesuffix(".gz").removesuffix(".nii")
    return str(PurePosixPath(run_folder(run_id), "masks", below.with_name(f"{stem}{_ENDING}")))
