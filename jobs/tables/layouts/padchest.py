"""PadChest: a Python list of labels in one cell, the image's folder and name apart, ages by year of birth."""

import re
from typing import Final

from jobs.tables.layouts.layout import SetLayout
from jobs.tables.layouts.shape import Shape
from jobs.tables.reading import ReadOptions
from jobs.tables.spellings import NO_FINDING

_WORDS: Final = {
    "infiltrates": "Infiltration",
    "pulmonary mass": "Mass",
    "multiple nodules": "Nodule",
    "hiatal hernia": "Hernia",
    "atelectasia": "Atelectasis",
    "cardiomegalia": "Cardiomegaly",
    "consolidación": "Consolidation",
    "consolidacion": "Consolidation",
    "derrame pleural": "Effusion",
    "edema pulmonar": "Edema",
    "enfisema": "Emphysema",
    "engrosamiento pleural": "Pleural_Thickening",
    "fibrosis pulmonar": "Fibrosis",
    "hernia de hiato": "Hernia",
    "infiltrado": "Infiltration",
    "infiltrados": "Infiltration",
    "masa": "Mass",
    "neumonía": "Pneumonia",
    "neumonia": "Pneumonia",
    "neumotórax": "Pneumothorax",
    "neumotorax": "Pneumothorax",
    "nódulo": "Nodule",
    "nodulo": "Nodule",
}
_NORMAL: Final = "normal"
_EXCLUDED: Final = "exclude"
_WITHOUT_FINDING: Final = frozenset({"", "nan", "unchanged", "suboptimal study", _NORMAL})
_AGE: Final = "StudyDate_DICOM - PatientBirth"
_YEAR: Final = re.compile(r"\s*([12][0-9]{3})")


def _reshape(shape: Shape, _: ReadOptions) -> None:
    shape.image("{ImageDir}/{ImageID}", "{ImageID}")
    shape.add(_AGE, ["StudyDate_DICOM", "PatientBirth"], _age)
    shape.facts["age"] = _AGE
    shape.change("Labels", _listed)
    shape.listed = "Labels"
    shape.about = tuple(dict.fromkeys(_WORDS.values()))


def _listed(cell: str) -> str:
    """Turn "['cardiomegaly', 'pleural effusion']" into words with | between; blank for an excluded image."""
    words = [word.strip(" '\"\t") for word in cell.strip().strip("[]").split(",")]
    if _EXCLUDED in words:
        return ""
    findings = [word for word in words if word not in _WITHOUT_FINDING]
    return "|".join(dict.fromkeys(findings)) or (NO_FINDING if _NORMAL in words else "")


def _age(study: str, birth: str) -> str:
    years = [_YEAR.match(cell) for cell in (study, birth)]
    return str(int(years[0][1]) - int(years[1][1])) if years[0] and years[1] else ""


LAYOUT = SetLayout(
    "PadChest", (("ImageID", "ImageDir", "StudyID", "PatientID", "Projection", "Labels"),), _reshape, _WORDS
)
