"""The doctor's line about the model: a folder that is what its card says, and folders that are not."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import STUB_CARD, write_card

from config.cards.model import CARD_FILE, SHIPPED
from config.settings import Settings
from jobs.doctor.verdict import Night, State, Verdict
from workers.scoring import golden


def asked(home: Path, model: str) -> Verdict:
    (found,) = golden.ask(Night(Settings(home=home, model=model, threads=1)))
    return found


def test_a_model_that_answers_and_one_that_is_not_there(tmp_path: Path) -> None:
    write_card(tmp_path / "models", STUB_CARD)
    assert asked(tmp_path, "stub").state is State.OK
    gone = asked(tmp_path, "gone")
    assert gone.state is State.FAULT
    assert "there is no model 'gone'" in gone.seen
    assert "NIGHTREAD_MODEL" in gone.advice


@pytest.mark.processes
@pytest.mark.parametrize(
    ("change", "words"),
    [({"golden": [0.25] * 14}, "its card says 0.25"), ({"sha256": "0" * 64}, "SHA-256")],
    ids=["other scores", "other weights"],
)
def test_a_model_that_is_not_what_its_card_says(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    folder = shutil.copytree(SHIPPED / "demo", tmp_path / "models" / "mine")
    card = yaml.safe_load((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(yaml.safe_dump(card | {"name": "mine"} | change))
    found = asked(tmp_path, "mine")
    assert found.state is State.FAULT
    assert words in found.seen
