"""Overlays: a finding's map in colour on its radiograph, as a picture that a person can judge."""

from pathlib import Path, PurePath, PurePosixPath
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from config.files import run_folder, write_whole
from workers.inference.backdrop import Backdrop, backdrop_of
from workers.inference.formats.picture import Picture, is_grey
from workers.inference.region import Region
from workers.outputs.drawing import Drawing
from workers.outputs.folder import OutputFolder

_JPEG_QUALITY: Final = 85
_STRONGEST_COLOUR: Final = 0.5

# A map has 256 levels here: for each, what is kept of the picture (of 255), and the colour that is added. An
# overlay of tables and bytes takes half the time of one that is blended in float32.
_LEVELS: Final = np.arange(256, dtype=np.uint8)[:, None]
_OPACITY: Final = _STRONGEST_COLOUR * np.minimum(1.0, 2.0 * _LEVELS / 255)
_KEPT: Final = (255 * (1 - _OPACITY)).round().astype(np.uint8)
_ADDED: Final = (
    (cv2.applyColorMap(_LEVELS, cv2.COLORMAP_INFERNO) * _OPACITY[..., None]).round().astype(np.uint8)
)


def render(
    picture: Picture,
    map_: NDArray[np.float32],
    longest_side: int | None = None,
    region: Region | None = None,
) -> NDArray[np.uint8]:
    """Lay one map (h, w), values 0-1, over a picture in OpenCV's `inferno`: (height, width, 3) uint8, BGR.

    `region` is the part of the picture that the map covers; without it the whole.
    """
    whole = Region(0, 0, picture.width, picture.height)
    return lay(map_, backdrop_of(picture, longest_side), region or whole)


def lay(map_: NDArray[np.float32], backdrop: Backdrop, region: Region) -> NDArray[np.uint8]:
    """Lay one map over the backdrop of its picture, as `render` does.

    The colour's opacity grows with the map, so that what the network did not look at stays as it is.
    """
    base, scale = backdrop
    heat = spread(map_, (base.shape[1], base.shape[0]), region, scale)
    level = (heat * 255).astype(np.uint8)
    share = cv2.LUT(level, _KEPT)
    if is_grey(base):  # it becomes three colours after the product, which is a third of the work
        kept = cv2.cvtColor(cv2.multiply(base, share, scale=1 / 255), cv2.COLOR_GRAY2BGR)
    else:
        share = cv2.cvtColor(share, cv2.COLOR_GRAY2BGR)
        kept = cv2.multiply(cv2.cvtColor(base, cv2.COLOR_RGB2BGR), share, scale=1 / 255)
    return np.asarray(cv2.add(kept, cv2.applyColorMap(level, _ADDED)), dtype=np.uint8)


def spread(
    map_: NDArray[np.float32], size: tuple[int, int], region: Region, scale: float
) -> NDArray[np.float32]:
    """Resize a map onto its part of a picture of `size` (width, height), which is `scale` of the original."""
    left, top = round(region.left * scale), round(region.top * scale)
    width, height = (
        min(size[0] - left, round(region.width * scale)),
        min(size[1] - top, round(region.height * scale)),
    )
    heat = np.zeros((size[1], size[0]), dtype=np.float32)
    shown = (max(1, width), max(1, height))
    heat[top : top + shown[1], left : left + shown[0]] = cv2.resize(
        map_.astype(np.float32), shown, interpolation=cv2.INTER_LINEAR
    )
    return heat


def write_overlay(path: Path, overlay: NDArray[np.uint8]) -> None:
    """Write an overlay in the format that the path's ending names, whole or not at all; raises OSError."""
    encoded = encode(path, overlay)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, encoded, durable=False)


def encode(path: PurePath, overlay: NDArray[np.uint8]) -> bytes:
    """Return an overlay as the file of a path would hold it; OSError where its format cannot."""
    jpeg = path.suffix.lower() in {".jpg", ".jpeg"}
    parameters = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if jpeg else []
    try:
        done, encoded = cv2.imencode(path.suffix, overlay, parameters)
    except cv2.error:
        done, encoded = False, np.empty(0, dtype=np.uint8)
    if not done:
        raise OSError(f"{path}: OpenCV cannot write a picture of this kind")
    return encoded.tobytes()


class Overlays(OutputFolder):
    """The overlays of a run: JPEGs."""

    what = "an overlay"

    def write(self, drawing: Drawing) -> str | None:
        """Write one overlay; returns its path below the folder, None where there cannot be one."""
        path = overlay_path(drawing.run_id, drawing.image_index, drawing.finding)

        def drawn() -> bytes:
            return encode(PurePath(path), lay(drawing.map, drawing.backdrop, drawing.region))

        return self._keep(drawing.run_id, path, drawn)


def overlay_path(run_id: int, image_index: str, finding: str) -> str:
    """Name an overlay below the heatmaps' folder: run, finding, then the image's own path.

    Whatever the image's name is, the overlay stays below the run's folder.
    """
    below = confined(image_index)
    return str(PurePosixPath(run_folder(run_id), finding, below.with_name(f"{below.name}.jpg")))


def confined(image_index: str) -> PurePosixPath:
    """Return an image's name as a path that stays below the folder it is joined to."""
    parts = (part for part in PurePosixPath(image_index).parts if part.strip("/"))
    return PurePosixPath(*("__" if part == ".." else part for part in parts))
