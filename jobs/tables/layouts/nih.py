"""NIH ChestX-ray14: Data_Entry_2017, its images in one folder or, as Kaggle has them, in twelve."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from jobs.tables.columns import ColumnError, shown
from jobs.tables.layouts.layout import SetLayout
from jobs.tables.layouts.shape import Shape
from jobs.tables.reading import ReadOptions

_FOLDERS = "images_*/images"


def _reshape(shape: Shape, _: ReadOptions) -> None:
    _place(shape)


def _boxes(shape: Shape) -> Sequence[str]:
    _place(shape)
    shape.facts["image"] = "Image Index"
    return ()


def _place(shape: Shape) -> None:
    """Name the images by the folders that they are in, if there are such."""
    folders = sorted(Path(shape.root).glob(_FOLDERS)) if shape.root else []
    if not folders:
        return
    places = _places(shape.root, folders)

    def placed(name: str) -> str:
        paths = places.get(name, [name])
        if len(paths) > 1:
            problem = f"image {shown(name)} is in {len(paths)} folders: {', '.join(paths)}"
            raise ColumnError(problem, "Remove all but one.", "Image Index")
        return paths[0]

    shape.change("Image Index", placed)
    first, last = (path.relative_to(shape.root).as_posix() for path in (folders[0], folders[-1]))
    shape.notes.append(f"images are looked for in {len(folders)} folders, {first} to {last}")


def _places(root: str, folders: list[Path]) -> Mapping[str, list[str]]:
    places: dict[str, list[str]] = {}
    for folder in folders:
        below = folder.relative_to(root).as_posix()
        with os.scandir(folder) as entries:
            for entry in entries:
                places.setdefault(entry.name, []).append(f"{below}/{entry.name}")
    return places


LAYOUT = SetLayout(
    "NIH ChestX-ray14",
    (
        ("Image Index", "Finding Labels", "Follow-up #", "Patient ID"),
        ("Image Index", "Finding Label", "Bbox [x"),
        ("Image Index", "Finding Label", "Bbox [x,y,w,h]"),
    ),
    _reshape,
    boxes=_boxes,
)
