"""MIMIC-CXR-JPG: labels by study, joined to the metadata, which has a row per image."""

from jobs.tables.layouts.labeler import take_blanks
from jobs.tables.layouts.layout import SetLayout
from jobs.tables.layouts.shape import Shape
from jobs.tables.reading import ReadOptions

_IMAGE = "p{subject_id:.2}/p{subject_id}/s{study_id}/{dicom_id}.jpg"


def _reshape(shape: Shape, told: ReadOptions) -> None:
    take_blanks(shape, told)
    shape.image(f"files/{_IMAGE}", _IMAGE)


LAYOUT = SetLayout(
    "MIMIC-CXR-JPG",
    (("dicom_id", "subject_id", "study_id"), ("subject_id", "study_id", "Enlarged Cardiomediastinum")),
    _reshape,
    row=("dicom_id",),
    lacking="Its labels are by study: add --join mimic-cxr-2.0.0-metadata.csv.gz, which has the images",
)
