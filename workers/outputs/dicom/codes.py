"""Findings as codes: SNOMED CT where a code means just that, else a scheme of our own."""

import unicodedata
from typing import Final

from highdicom.sr.coding import CodedConcept
from pydicom.sr.coding import Code

_SCHEME: Final = "99NIGHTREAD"
"""A private coding scheme: its values are the findings' own names (PS3.16, 8.2)."""

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

PROBABILITY: Final = Code("122157", "DCM", "Probability")
THRESHOLD: Final = Code("122411", "DCM", "Threshold Value")
CHEST_IMAGING: Final = Code("413815006", "SCT", "Chest imaging")


def finding_code(finding: str) -> CodedConcept:
    """Return the code of a finding."""
    known = _KNOWN.get(finding)
    if known is not None:
        return CodedConcept(known[0], "SCT", known[1])
    name = plain_letters(finding)
    return CodedConcept(name, _SCHEME, name.replace("_", " "))


def plain_letters(text: str) -> str:
    """Return a text in letters that every character set of DICOM has: `é` as `e`, others as `?`."""
    plain = unicodedata.normalize("NFKD", text)
    return (
        "".join(letter for letter in plain if not unicodedata.combining(letter))
        .encode("ascii", "replace")
        .decode("ascii")
    )
