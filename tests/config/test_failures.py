"""The reasons in the page are those in the code, each of which some code gives."""

import re

import pytest
from support import ROOT, documented_failures

from config.failures import STAGE_OF, Reason, Stage

SOURCES = [path for folder in ("db", "jobs", "workers") for path in (ROOT / folder).rglob("*.py")]
READERS = [ROOT / "jobs" / "sources", ROOT / "workers" / "inference"]
"""What raises ImageUnusableError, which becomes a failure of the stage `read`."""


def test_the_page_has_every_reason_once_under_its_stage_and_no_other() -> None:
    assert sorted(reason for _, reason in documented_failures()) == sorted(Reason)
    given = set()
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        pairs = re.findall(r"\bStage\.(\w+),\s*Reason\.(\w+)", text)
        given |= {(Stage[stage], Reason[name]) for stage, name in pairs}
        if any(path.is_relative_to(folder) for folder in READERS):
            given |= {(Stage.READ, Reason[name]) for name in re.findall(r"\bReason\.(\w+)", text)}
    assert given == set(documented_failures())
    assert {(stage, reason) for reason, stage in STAGE_OF.items()} == given


@pytest.mark.parametrize("word", [*Reason, *Stage])
def test_every_reason_and_stage_is_given_somewhere(word: Reason | Stage) -> None:
    used = re.compile(rf"\b{type(word).__name__}\.{word.name}\b")
    assert any(used.search(path.read_text(encoding="utf-8")) for path in SOURCES)
