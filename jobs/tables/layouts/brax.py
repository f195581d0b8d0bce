"""BRAX: the labels of CheXpert's labeler, with a path for the PNG and one for the DICOM file."""

from jobs.tables.layouts.labeler import take_blanks
from jobs.tables.layouts.layout import SetLayout
from jobs.tables.layouts.shape import Shape
from jobs.tables.reading import ReadOptions


def _reshape(shape: Shape, told: ReadOptions) -> None:
    take_blanks(shape, told)
    shape.image("{PngPath}", "{DicomPath}")


LAYOUT = SetLayout("BRAX", (("DicomPath", "PngPath", "AccessionNumber"),), _reshape)
