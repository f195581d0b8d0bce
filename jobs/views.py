"""What the views and their columns mean: docs/sql.md, which is shipped beside the views, as rows."""

import re
from importlib.resources import files
from typing import Final, NamedTuple

_VIEW: Final = re.compile(r"^### `(\w+)`: (.+?)$(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
_COLUMNS: Final = re.compile(r"^\| (`.+?) \| (.+) \|$", re.MULTILINE)
_LINK: Final = re.compile(r"\[([^]]+)\]\([^)]+\)")


class Column(NamedTuple):
    """Columns that are described together, and what they mean, with units and when they are NULL."""

    names: tuple[str, ...]
    meaning: str


class View(NamedTuple):
    """A view: what a row of it is, and its columns."""

    name: str
    rows: str
    columns: tuple[Column, ...]


def described_views() -> dict[str, View]:
    """Return the views by name, in the page's order."""
    page = files("db").joinpath("sql.md").read_text(encoding="utf-8")
    return {name: View(name, rows, _columns(section)) for name, rows, section in _VIEW.findall(page)}


def _columns(section: str) -> tuple[Column, ...]:
    return tuple(
        Column(tuple(re.findall(r"`(\w+)`", names)), _text(meaning))
        for names, meaning in _COLUMNS.findall(section)
    )


def _text(markdown: str) -> str:
    return _LINK.sub(r"\1", markdown).replace(r"\|", "|").replace("`", "")
