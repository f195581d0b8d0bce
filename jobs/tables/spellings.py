"""Which finding a word means, in a column's name and in a cell alike: one table of the usual spellings."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from config.findings import FINDINGS

NO_FINDING: Final = "No Finding"

_SAME: Final[tuple[tuple[str, ...], ...]] = (
    ("Atelectasis", "Atelectases"),
    ("Consolidation", "Consolidations"),
    ("Edema", "Oedema", "Pulmonary Edema", "Pulmonary Oedema"),
    ("Effusion", "Effusions", "Pleural Effusion", "Pleural Effusions"),
    ("Emphysema", "Pulmonary Emphysema"),
    ("Fibrosis", "Pulmonary Fibrosis"),
    ("Fracture", "Fractures"),
    ("Hernia", "Hiatal Hernia", "Hiatus Hernia"),
    ("Infiltration", "Infiltrations", "Infiltrate", "Infiltrates"),
    ("Lung Lesion", "Lung Lesions"),
    ("Lung Opacity", "Lung Opacities"),
    ("Mass", "Masses", "Lung Mass"),
    ("Nodule", "Nodules", "Lung Nodule", "Lung Nodules"),
    (NO_FINDING, "No Findings"),
    ("Support Devices", "Support Device"),
)
"""Spellings that public datasets use for one finding. Case, blanks, underscores, hyphens and dots at the end
never count; see key_of."""

_CLOSE: Final = 0.75
"""How alike two keys must be for one to be shown as what the other may mean, from 0 to 1."""


def key_of(name: str) -> str:
    """Return the part of a name that counts: without case, blanks, _, -, # and dots at its end."""
    return re.sub(r"[\s_#-]+|[.\s]+$", "", name.casefold())


_NO_FINDING: Final = {key_of(name) for names in _SAME if NO_FINDING in names for name in names}


class Vocabulary:
    """The findings that a table may name: the model's, and those of ChestX-ray14 that it has no word for.

    `findings`: ChestX-ray14's in their order, under the model's names, then the model's others by name. The
    order does not depend on the model's, so that models of the same findings share a stored manifest.
    """

    def __init__(self, findings: Sequence[str] = FINDINGS, words: Mapping[str, str] | None = None) -> None:
        """Take a model's findings, and a set's own words for some -> the finding in a usual spelling."""
        self.model = tuple(findings)
        named: dict[str, str] = {key_of(finding): finding for finding in findings}
        for names in _SAME:
            keys = [key_of(name) for name in names]
            known = {named[key] for key in keys if key in named}
            # A model that tells two of them apart, as Effusion and Pleural Effusion, is taken at its word.
            if len(known) == 1:
                named |= dict.fromkeys(keys, known.pop())
        for finding in FINDINGS:
            named.setdefault(key_of(finding), finding)
        for names in _SAME:
            first = named.get(key_of(names[0]))
            if first is not None:
                named = dict.fromkeys(map(key_of, names), first) | named
        for word, meant in (words or {}).items():
            if key_of(meant) in named:
                named.setdefault(key_of(word), named[key_of(meant)])
        self._named = named
        usual = [named[key_of(finding)] for finding in FINDINGS]
        self.usual = frozenset(usual)
        self.findings = tuple(dict.fromkeys((*usual, *sorted(findings))))

    def finding(self, word: str) -> str | None:
        """Return which finding a word means, in any spelling; None if it is none of them."""
        return self._named.get(key_of(word))

    def near(self, word: str) -> str | None:
        """Return the finding that a word which is none of them resembles, if there is one."""
        close = get_close_matches(key_of(word), self._named, n=1, cutoff=_CLOSE)
        return self._named[close[0]] if close else None


def is_no_finding(word: str) -> bool:
    """Return whether a word in a list of findings says that there is none."""
    return key_of(word) in _NO_FINDING
