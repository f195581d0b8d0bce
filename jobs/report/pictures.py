"""The radiographs of a report, each as a JPEG within the page, beside the same with a heatmap."""

import base64
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from db.database import Record
from jobs.report.rows import Content

_GALLERY_SIDE: Final = 320
_SIDE: Final = 256
"""The longer side, pixels, of the pictures in a report: in the gallery, and elsewhere."""

_PLANES_SIDE: Final = 780
"""Three planes beside each other."""

_GALLERY_CHARACTERS: Final = 1_700_000
_ERRORS_CHARACTERS: Final = 1_200_000
_QUALITY_CHARACTERS: Final = 150_000
"""The page stays below 5 MB, whatever the number of findings and the size of their pictures."""

_JPEG_QUALITY: Final = 78
_NO_ROOM: Final = "left out, as the page would become too large"

Pixels = NDArray[np.uint8]


class RunPictures(Protocol):
    """The pictures of a run's images: (h, w) grey or (h, w, 3) RGB; None for one that cannot be read."""

    def radiograph(self, image_index: str) -> Pixels | None:
        """Return an image's pixels."""

    def overlay(self, image_index: str, finding: str, longest_side: int) -> Pixels | None:
        """Return an image under the map of a finding, made smaller."""


def gallery(
    folder: Path, findings: Iterable[str], highest: Iterable[Record], pictures: RunPictures
) -> list[tuple[str, list[Record]]]:
    """Return each finding that has overlays with its rows of `highest` and the pictures for them.

    `highest`: every finding's first before any second, as no picture is added once the page is full.
    A row's `bare` is the radiograph in the overlay's size, None where it cannot be read.
    """
    room = _GALLERY_CHARACTERS
    shown: dict[str, list[Record]] = {finding: [] for finding in findings}
    for row in highest:
        picture = _overlay(folder / row["overlay_path"])
        if "source" in picture:
            picture["bare"] = _bare(
                pictures.radiograph(row["image_index"]), picture["width"], picture["height"]
            )
        picture, room = _within(room, picture)
        shown[row["finding"]].append({**row, **picture})
    return [(finding, rows) for finding, rows in shown.items() if rows]


def _within(room: int, picture: Content) -> tuple[Content, int]:
    """Return a picture and the characters that are left beside it; a sentence if there is no room."""
    taken = sum(len(picture.get(name) or "") for name in ("source", "bare"))
    if taken > room:
        return {"problem": _NO_ROOM}, room
    return picture, room - taken


def error_pictures(rows: Iterable[Record], pictures: RunPictures) -> list[Record]:
    """Add to rows of an image and a finding the pictures for them, as `gallery` does, while there is room."""
    room = _ERRORS_CHARACTERS
    shown: list[Record] = []
    for row in rows:
        picture = _radiograph(pictures, row["image_index"])
        if "source" in picture:
            drawn = pictures.overlay(row["image_index"], row["finding"], _SIDE)
            overlay = None if drawn is None else _data_url(Image.fromarray(drawn))
            picture |= {"bare": picture["source"], "source": overlay}
        picture, room = _within(room, picture)
        shown.append({**row, **picture})
    return shown


def bare_pictures(rows: Iterable[Record], pictures: RunPictures) -> list[Record]:
    """Add to rows of an image its radiograph as `source`, or `problem`, a sentence."""
    room = _QUALITY_CHARACTERS
    shown: list[Record] = []
    for row in rows:
        picture, room = _within(room, _radiograph(pictures, row["image_index"]))
        shown.append({**row, **picture})
    return shown


def case_pictures(folder: Path, cases: Iterable[Record]) -> list[Record]:
    """Add to cases of volumes their planes as `source`, or `problem`, a sentence, while there is room."""
    room = _GALLERY_CHARACTERS
    shown: list[Record] = []
    for case in cases:
        path = case["planes_path"]
        picture = {"problem": "none was written"} if path is None else _overlay(folder / path, _PLANES_SIDE)
        picture, room = _within(room, picture)
        shown.append({**case, **picture})
    return shown


def _radiograph(pictures: RunPictures, image_index: str) -> Content:
    pixels = pictures.radiograph(image_index)
    if pixels is None:
        return {"problem": "it cannot be read"}
    small = Image.fromarray(pixels)
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return _described(small)


def _described(picture: Image.Image) -> Content:
    return {"source": _data_url(picture), "width": picture.width, "height": picture.height}


def _overlay(path: Path, side: int = _GALLERY_SIDE) -> Content:
    """Read an overlay for the page: `source` (a data URL), `width` and `height`, or `problem`, a sentence."""
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as picture:
            small = picture.convert("RGB")
    except FileNotFoundError:
        return {"problem": "its file is missing"}
    except OSError as error:
        return {"problem": f"its file cannot be read: {error.strerror or 'it is not a whole picture'}"}
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _described(small)


def _bare(pixels: Pixels | None, width: int, height: int) -> str | None:
    if pixels is None:
        return None
    return _data_url(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def _data_url(picture: Image.Image) -> str:
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode()
