"""The manifest that `nightread manifest` writes: its columns, of which a run needs the first few."""

from typing import Final

from jobs.tables.layouts.layout import SetLayout
from jobs.tables.layouts.shape import Shape
from jobs.tables.reading import ReadOptions

READ: Final = ("Image Index", "Patient ID", "View Position", "Patient Age", "Patient Sex")

CARRIED: Final = (
    "Study Instance UID",
    "Series Instance UID",
    "SOP Instance UID",
    "Modality",
    "Rows",
    "Columns",
    "Photometric Interpretation",
    "Row Spacing",
    "Column Spacing",
    "Spacing Source",
    "Transfer Syntax UID",
    "Burned In Annotation",
)
"""For people and other programs; `score` has no use for them."""


def _reshape(shape: Shape, _: ReadOptions) -> None:
    shape.used |= set(CARRIED)


LAYOUT = SetLayout("the manifest of a folder", ((*READ, *CARRIED),), _reshape)
