"""covid-chestxray (Cohen et al. 2020): findings as paths of kinds, folder and file apart, CT among them."""

import re
from collections.abc import Callable

from jobs.tables.layouts.layout import SetLayout
from jobs.tables.layouts.shape import Shape
from jobs.tables.reading import ReadOptions
from jobs.tables.spellings import key_of

_UNKNOWN = frozenset({"todo", "unknown"})


def _reshape(shape: Shape, _: ReadOptions) -> None:
    shape.keep("modality", lambda cell: key_of(cell) == "xray", "rows of other modalities, left out")
    shape.used.add("modality")
    shape.image("{folder}/{filename}", "{filename}")
    shape.change("finding", _listed(lambda word: shape.vocabulary.finding(word) is not None))
    shape.listed = "finding"
    shape.about = ("Pneumonia",)


def _listed(known: Callable[[str], bool]) -> Callable[[str], str]:
    """Turn Pneumonia/Viral/COVID-19 into Pneumonia, and the kinds below it that are the model's findings."""

    def listed(cell: str) -> str:
        words: list[str] = []
        for path in re.split(r",\s*", cell.strip()):
            kind, *below = path.split("/")
            words += [kind, *filter(known, below)] if kind.casefold() not in _UNKNOWN else []
        return "|".join(dict.fromkeys(words))

    return listed


LAYOUT = SetLayout("covid-chestxray", (("patientid", "finding", "modality", "folder", "filename"),), _reshape)
