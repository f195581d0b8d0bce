"""What is drawn for one finding in one image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.inference.backdrop import Backdrop
from workers.inference.region import Region


@dataclass(frozen=True, slots=True)
class Drawing:
    """A finding's map (h, w), values 0-1, over its picture's backdrop.

    `region`: the part of the picture, in its own pixels, that the map covers.
    """

    run_id: int
    image_index: str
    finding: str
    backdrop: Backdrop
    map: NDArray[np.float32]
    region: Region
