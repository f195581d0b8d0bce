"""The layouts that there are, and which of them a table has."""

from collections.abc import Sequence
from typing import Final

from jobs.tables.columns import ColumnError, Header, shown
from jobs.tables.layouts import brax, chexpert, covid, inventory, mimic, nih, padchest, rsna, vindr
from jobs.tables.layouts.layout import SetLayout
from jobs.tables.spellings import key_of

LAYOUTS: Final[dict[str, SetLayout]] = {
    "nih": nih.LAYOUT,
    "mimic-cxr": mimic.LAYOUT,
    "chexpert": chexpert.LAYOUT,
    "padchest": padchest.LAYOUT,
    "vindr-cxr": vindr.LAYOUT,
    "rsna": rsna.LAYOUT,
    "brax": brax.LAYOUT,
    "covid-chestxray": covid.LAYOUT,
    "inventory": inventory.LAYOUT,
}
"""The layouts by the names that --layout takes; the first that fits is a table's.

MIMIC-CXR's joined tables have a path and CheXpert's labels, too.
"""

PLAIN: Final = "plain"
"""The name for none of them."""


def layout_of(names: Sequence[str], told: str | None) -> SetLayout | None:
    """Return the layout of a table with these columns, the one that is told if any; None for none.

    Raises ColumnError where there is no such layout, or where the table lacks its columns.
    """
    if told == PLAIN:
        return None
    keys = set(map(key_of, names))
    if told is None:
        return next((layout for layout in LAYOUTS.values() if not _missing(layout, keys)), None)
    if told not in LAYOUTS:
        problem = f"--layout {told}: there is no such layout"
        raise ColumnError(problem, f"There are {', '.join(LAYOUTS)}, and {PLAIN} for none of them.")
    missing = _missing(LAYOUTS[told], keys)
    if missing:
        columns = ", ".join(map(shown, missing))
        problem = f"--layout {told}: {LAYOUTS[told].title} has columns that are not there: {columns}"
        Header([*names]).fail(problem, "Leave the option out, or add the table that has them with --join.")
    return LAYOUTS[told]


def _missing(layout: SetLayout, keys: set[str]) -> list[str]:
    """Return the columns of the layout's nearest signature that are not there."""
    lacking = ([name for name in names if key_of(name) not in keys] for names in layout.signatures)
    return min(lacking, key=len)
