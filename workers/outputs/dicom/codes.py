"""Findings and segments as codes: a public scheme's where one means just that, else a scheme of our own."""

import unicodedata
from typing import Final

from highdicom.sr.coding import CodedConcept
from pydicom.sr.coding import Code

_SCHEME: Final = "99NIGHTREAD"
"""A private coding scheme: its values are the findings' own names (PS3.16, 8.2)."""

LONG_STRING: Final = 64
"""Letters of a label in DICOM."""

_KNOWN: Final = {
    "Atelectasis": ("46621007", "Atelectasis"),
    "Cardiomegaly": ("8186001", "Cardiomegaly"),
    "Effusion": ("60046008", "Pleural effusion"),
    "Infiltration": ("409609008", "Radiologic infiltrate of lung"),
    "Mass": ("309529002", "Lung mass"),
    "Pneumonia": ("233604007", "Pneumonia"),
    "Pneumothorax": ("36118008", "Pneumothorax"),
    "Consolidation": ("95436008", "Lung consolidation"),
    "Edema": ("19242006", "Pulmonary edema"),
    "Emphysema": ("87433001", "Pulmonary emphysema"),
    "Fibrosis": ("51615001", "Fibrosis of lung"),
}
"""SNOMED CT's concepts. A nodule need not be solitary, and a hernia not hiatal: they keep their names."""

_ABNORMAL: Final = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_TISSUE: Final = Code("85756007", "SCT", "Tissue")
_SEGMENTS: Final = {
    "edema": Code("79654002", "SCT", "Edema"),
    "necrosis": Code("6574001", "SCT", "Necrosis"),
    "non-enhancing": Code("C81175", "NCIt", "Non-Enhancing Lesion"),
    "enhancing": Code("C113842", "NCIt", "Enhancing Lesion"),
}
"""Brain lesions (PS3.16, CID 7168), by the names of classes."""

PROBABILITY: Final = Code("122157", "DCM", "Probability")
THRESHOLD: Final = Code("122411", "DCM", "Threshold Value")
CHEST_IMAGING: Final = Code("413815006", "SCT", "Chest imaging")


def finding_code(finding: str) -> CodedConcept:
    """Return the code of a finding."""
    known = _KNOWN.get(finding)
    return _own_code(finding) if known is None else CodedConcept(known[0], "SCT", known[1])


def segment_code(name: str) -> tuple[Code, Code | CodedConcept]:
    """Return category and type of what a class is: tissue under its own name where it is not known."""
    known = _SEGMENTS.get(name.casefold())
    return (_TISSUE, _own_code(name)) if known is None else (_ABNORMAL, known)


def _own_code(name: str) -> CodedConcept:
    plain = plain_letters(name)
    return CodedConcept(plain, _SCHEME, plain.replace("_", " ")[:LONG_STRING])


def plain_letters(text: str) -> str:
    """Return a text in letters that every character set of DICOM has: `é` as `e`, others as `?`."""
    plain = unicodedata.normalize("NFKD", text)
    return (
        "".join(letter for letter in plain if not unicodedata.combining(letter))
        .encode("ascii", "replace")
        .decode("ascii")
    )
