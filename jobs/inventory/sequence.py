"""Which of the usual sequences of a head a series of MR is, by its DICOM header.

The series' description says it, else the protocol's name; whether contrast medium was given is in a word,
too, or in an element of its own. What says nothing, or two things, is none of them.
"""

import re
from typing import Final

from config.cards.segmentation import CHANNEL_SPELLINGS
from jobs.inventory.header import Header

_FLAIR, _T1, _T1GD, _T2 = "FLAIR", "T1", "T1Gd", "T2"

_WORDS: Final = {
    **{word: channel for channel, words in CHANNEL_SPELLINGS.items() for word in words},
    **dict.fromkeys(("mprage", "bravo"), _T1),
}
_CONTRAST: Final = frozenset(
    ("gd", "gad", "gado", "gadolinium", "ce", "km", "contrast", "kontrast", "post", "postgd", "postcontrast")
)
_WITHOUT: Final = frozenset(("pre", "pregd", "precontrast", "without", "wo", "no", "non", "nativ", "native"))
_OTHER: Final = frozenset(
    ("adc", "dwi", "diff", "dti", "perf", "perfusion", "dsc", "dce", "asl", "swi", "star", "map", "sub")
)
"""Words of series that are no plain picture of a sequence, whatever else they are called."""

_WORD: Final = re.compile(r"[a-z0-9]+")
_PLUS: Final = re.compile(r"\+\s*(?:c|gd|km)\b|\bc\+")
_DARK_FLUID: Final = re.compile(r"dark[-_ ]?fluid")
_STAR: Final = re.compile(r"t[12]\s*\*")


def sequence_of(header: Header) -> str:
    """Return FLAIR, T1, T1Gd or T2, blank where nothing says that it is one of them."""
    agent = bool(header.word("ContrastBolusAgent"))
    return _by_words(header.word("SeriesDescription"), contrast=agent) or _by_words(
        header.word("ProtocolName"), contrast=agent
    )


def _by_words(text: str, *, contrast: bool) -> str:
    """Return the one sequence that a text's words agree on; "AX T2 FLAIR" is a FLAIR."""
    text = _DARK_FLUID.sub("flair", text.casefold())
    words = {*_WORD.findall(text)}
    found = {_WORDS[word] for word in words if word in _WORDS}
    if not found or _OTHER & words or _STAR.search(text):
        return ""
    if _FLAIR in found:
        return "" if {_T1, _T1GD} & found else _FLAIR
    if found == {_T2}:
        return _T2
    if _T2 in found:
        return ""
    if _WITHOUT & words:
        return _T1
    return _T1GD if _T1GD in found or contrast or _CONTRAST & words or _PLUS.search(text) else _T1
