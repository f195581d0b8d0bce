"""What is drawn for one finding in one image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.inference.formats.picture import Picture
from workers.inference.region import Region


@dataclass(frozen=True, slots=True)
class Drawing:
    """A finding's map (h, w), values 0-1, with the picture and the region of it that the map covers."""

    run_id: int
    image_index: str
    finding: str
    picture: Picture
    map: NDArray[np.float32]
    region: Region
