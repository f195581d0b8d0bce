"""The fourteen columns that CheXpert's labeler writes: 1, 0, -1 for uncertain, blank for not mentioned."""

from typing import Final

from jobs.tables.cells import is_unknown
from jobs.tables.columns import ABSENT
from jobs.tables.layouts.shape import Shape
from jobs.tables.reading import ReadOptions

LABELS: Final = (
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema"),
    *("Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other"),
    *("Fracture", "Support Devices"),
)


def take_blanks(shape: Shape, told: ReadOptions) -> None:
    """Take a finding that a report does not mention as absent, as is usual for these labels, unless told.

    A row without any of the labels stays unknown: its report was not labelled, or there is none.
    """
    header = shape.header
    indexes = [index for index in map(header.find, LABELS) if index != ABSENT]
    if not indexes:
        return
    shape.obeyed.add("blank")
    if told.blank == "ignore":
        shape.notes.append("blank labels (not mentioned in the report) are taken as unknown (--blank)")
        return
    shape.notes.append("blank labels (not mentioned in the report) are taken as absent (see --blank)")

    def fill(fields: list[str]) -> bool:
        blank = [index for index in indexes if is_unknown(fields[index])]
        if len(blank) < len(indexes):
            for index in blank:
                fields[index] = "0"
        return True

    shape.each(fill)
