"""From which side a film was taken, by its DICOM header.

The view position says it, else the code of the view (PS3.16 CID 4010), else words of the descriptions, else
the patient's orientation in the picture. What none of them says stays unknown.
"""

import re
from typing import Final

from jobs.inventory.header import Header

FRONTAL: Final = frozenset({"PA", "AP", "FRONTAL", ""})
"""The views that are kept; a blank one is unknown."""

LATERAL: Final = "LATERAL"

_OBLIQUE: Final = "OBLIQUE"
_DECUBITUS: Final = "DECUBITUS"

CODES: Final = {
    **dict.fromkeys(("272479007", "R-10214", "R-40888"), "PA"),
    **dict.fromkeys(("399348003", "R-10206"), "AP"),
    **dict.fromkeys(("399033003", "R-10202"), "FRONTAL"),
    **dict.fromkeys(("399067008", "R-102CD", "399173006", "R-10236", "399198007", "R-10232"), LATERAL),
    **dict.fromkeys(("399352003", "R-10228", "399260004", "R-10224"), LATERAL),
    **dict.fromkeys(("399182000", "R-102C1", "399184004", "R-10238", "399236003", "R-10234"), _OBLIQUE),
    **dict.fromkeys(("399135007", "R-10220", "399356000", "R-40985", "399006002", "R-10212"), _OBLIQUE),
    **dict.fromkeys(("399038007", "R-10210", "399312000", "R-10208", "399059000", "R-10216"), _OBLIQUE),
    **dict.fromkeys(("399160007", "R-10204", "260427002", "R-40783"), _OBLIQUE),
}
"""Codes of views of the chest: SNOMED CT's, and the older ones of SNOMED RT that films before 2019 have."""

_WORDS: Final = {
    **dict.fromkeys(("PA", "POSTEROANTERIOR"), "PA"),
    **dict.fromkeys(("AP", "ANTEROPOSTERIOR"), "AP"),
    **dict.fromkeys(("FRONTAL", "FRONTALE", "FACE"), "FRONTAL"),
    **dict.fromkeys(("LAT", "LATERAL", "LATERALE", "LL", "RL", "LLAT", "RLAT"), LATERAL),
    **dict.fromkeys(("SEITLICH", "SEITL", "PROFIL", "PERFIL"), LATERAL),
    **dict.fromkeys(
        ("OBL", "OBLIQUE", "OBLICUA", "SCHRÄG", "LAO", "RAO", "LPO", "RPO", "LLO", "RLO"), _OBLIQUE
    ),
    **dict.fromkeys(("DECUBITUS", "DECUB", "LLD", "RLD"), _DECUBITUS),
}
"""Words of view positions and descriptions; single ones of a few languages."""

_ONE_WORD: Final = (
    (re.compile(r"\bP\.\s?A\b|\bPOSTERO[\s-]+ANTERIOR"), "PA"),
    (re.compile(r"\bA\.\s?P\b|\bANTERO[\s-]+POSTERIOR"), "AP"),
)
_WORD: Final = re.compile(r"[^\W\d_]+")

_ORIENTATIONS: Final = {"L": "FRONTAL", "R": "FRONTAL", "A": LATERAL, "P": LATERAL}
"""Where a picture's rows lead to: the patient's left or right, or the front or back."""


def view_of(header: Header) -> str:
    """Return PA, AP, FRONTAL, LATERAL, OBLIQUE or DECUBITUS, blank where nothing says it."""
    return (
        _by_words(header.word("ViewPosition"))
        or next((CODES[code] for code in header.view_codes if code in CODES), "")
        or _by_words(header.word("SeriesDescription"))
        or _by_words(header.word("ProtocolName"))
        or _ORIENTATIONS.get(header.word("PatientOrientation")[:1], "")
    )


def _by_words(text: str) -> str:
    """Return the one view that a text's words agree on; a study's "PA and lateral" is about two films."""
    for form, word in _ONE_WORD:
        text = form.sub(word, text)
    found = {_WORDS[word] for word in _WORD.findall(text) if word in _WORDS}
    for sideways in (_DECUBITUS, _OBLIQUE):  # "left lateral decubitus", "left anterior oblique"
        if sideways in found:
            return sideways
    if LATERAL in found:
        return LATERAL if found == {LATERAL} else ""
    return found.pop() if len(found) == 1 else "FRONTAL" if found else ""
