"""RSNA Pneumonia Detection Challenge: a row per box, several of one patient, who has one image."""

from collections.abc import Sequence

from jobs.tables.label_columns import is_present
from jobs.tables.layouts.layout import SetLayout
from jobs.tables.layouts.shape import BOXES, Shape
from jobs.tables.reading import ReadOptions

_BOX = ("x", "y", "width", "height")


def _reshape(shape: Shape, _: ReadOptions) -> None:
    names = [name for name in shape.names if name not in _BOX]
    kept = [shape.names.index(name) for name in names]
    target = shape.header.named("Target")

    def merge(rows: list[list[str]]) -> list[str]:
        # Each row of a patient has the same target: one with 1 has a box.
        highest = max(rows, key=lambda row: is_present(row[target]))
        return [highest[index] for index in kept]

    shape.group("patientId", names, merge)
    shape.notes.append(BOXES)
    _name_images(shape)


def _boxes(shape: Shape) -> Sequence[str]:
    shape.keep("Target", is_present, "rows without a box")
    shape.add("Finding", [], lambda: "Pneumonia")
    _name_images(shape)
    return ()


def _name_images(shape: Shape) -> None:
    shape.image(
        *(f"{folder}{{patientId}}{ending}" for folder in ("", "stage_2_train_images/") for ending in _ENDINGS)
    )


_ENDINGS = (".dcm", ".png", ".jpg")

LAYOUT = SetLayout(
    "RSNA Pneumonia Detection Challenge",
    (("patientId", *_BOX, "Target"),),
    _reshape,
    {"Target": "Pneumonia"},
    _boxes,
)
