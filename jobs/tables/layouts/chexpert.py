"""CheXpert and CheXpert Plus: the patient is in the image's path, the set's own folder perhaps in front."""

import re
from posixpath import splitext

from jobs.tables.columns import ABSENT
from jobs.tables.layouts.labeler import LABELS, take_blanks
from jobs.tables.layouts.layout import SetLayout
from jobs.tables.layouts.shape import Shape
from jobs.tables.reading import ReadOptions

_PATIENT = re.compile(r"(?:^|/)(patient[0-9]+)/")
_SET_FOLDER = re.compile(r"^CheXpert[^/]*/", re.IGNORECASE)


def _reshape(shape: Shape, told: ReadOptions) -> None:
    take_blanks(shape, told)
    path = "Path" if shape.header.find("Path") != ABSENT else "path_to_image"
    if shape.header.find("deid_patient_id") == ABSENT:
        shape.add(f"patient in {path}", [path], _patient)
        shape.facts["patient"] = f"patient in {path}"
    else:
        shape.facts["patient"] = "deid_patient_id"
    inner, stem = f"{path} below the set's folder", f"{path} without its ending"
    shape.add(inner, [path], lambda name: _SET_FOLDER.sub("", name.strip()))
    shape.add(stem, [inner], lambda name: splitext(name)[0])
    shape.used |= {inner, stem}
    # CheXpert Plus names the JPEGs of CheXpert and holds PNGs.
    shape.image(f"{{{path}}}", f"{{{inner}}}", f"{{{stem}}}.png", f"PNG/{{{stem}}}.png")


def _patient(path: str) -> str:
    found = _PATIENT.search(path)
    return found[1] if found else ""


LAYOUT = SetLayout(
    "CheXpert",
    (
        ("Path", "Frontal/Lateral", "AP/PA"),
        ("Path", *LABELS),
        ("path_to_image", "frontal_lateral", "ap_pa"),
        ("path_to_image", *LABELS),
    ),
    _reshape,
    row=("frontal_lateral",),
)
