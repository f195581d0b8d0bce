"""The reasons in the page are those in the code, each of which some code gives."""

import re
from pathlib import Path

import pytest
from support import ROOT

from config.failures import Reason, Stage

PAGE = ROOT / "docs" / "failures.md"
SOURCES = [path for folder in ("db", "jobs", "workers") for path in (ROOT / folder).rglob("*.py")]


def rows(page: Path) -> list[tuple[str, str]]:
    """Stage and reason of each row of the page's table."""
    return re.findall(r"^\| `(\w+)` \| `(\w+)` \|", page.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_the_page_has_every_reason_once_and_no_other() -> None:
    assert sorted(reason for _, reason in rows(PAGE)) == sorted(Reason)
    assert {stage for stage, _ in rows(PAGE)} == set(Stage)


@pytest.mark.parametrize("word", [*Reason, *Stage])
def test_every_reason_and_stage_is_given_somewhere(word: Reason | Stage) -> None:
    used = re.compile(rf"\b{type(word).__name__}\.{word.name}\b")
    assert any(used.search(path.read_text(encoding="utf-8")) for path in SOURCES)
