"""`nightread models ensemble` as its user types it, with real engines of toy networks."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ensemble_support import write_toy
from sqlalchemy import text
from typer.testing import CliRunner, Result

from config.cards.classification import ARCHITECTURES
from config.cards.model import find_model
from config.errors import ConfigError
from db.database import Database
from workers.commands.main import app


@pytest.fixture
def command(tensorflow: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """The command in this process, with two models of one network each."""
    assert tensorflow
    monkeypatch.setitem(ARCHITECTURES, "toy", "toy_network")
    monkeypatch.setenv("NIGHTREAD_HOME", str(tmp_path))
    # OpenVINO has the network exported by a process that knows no toys.
    monkeypatch.setenv("NIGHTREAD_ENGINE", "tensorflow")
    for seed in (1, 2):
        write_toy(tmp_path / "models", f"seed-{seed}", seed)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, ["models", *map(str, arguments)])


def test_an_ensemble_is_made_listed_shown_and_in_the_database(
    command: Callable[..., Result], tmp_path: Path
) -> None:
    made = command("ensemble", "seed-1", "seed-2", "--name", "ours", "--thresholds", "0.4")
    assert made.exit_code == 0, made.output
    assert "model ours: 2 members" in made.stdout
    assert "--model ours" in made.stdout
    listed = json.loads(command("list", "--json").stdout)
    (entry,) = [entry for entry in listed if entry["name"] == "ours"]
    assert (entry["network"], entry["members"]) == ("ensemble", ["seed-1", "seed-2"])
    assert "ensemble of 2" in command("list").stdout
    shown = command("show", "ours")
    card = find_model("seed-2", tmp_path / "models").card
    assert card.sha256 in " ".join(shown.stdout.split())
    assert "member 2" in shown.stdout
    assert "final_relu" not in shown.stdout
    opened = Database(f"sqlite:///{tmp_path / 'nightread.db'}")
    with opened.read() as connection:
        members = connection.execute(
            text("SELECT name, sha256, card_sha256 FROM model_member ORDER BY position")
        ).all()
    opened.dispose()
    assert members[1] == ("seed-2", card.sha256, card.fingerprint)
    assert len(members) == 2


def test_a_member_that_is_not_what_its_card_says_is_not_joined(
    command: Callable[..., Result], tmp_path: Path
) -> None:
    path = tmp_path / "models" / "seed-2" / "card.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("seed: 2", "seed: 9"), encoding="utf-8")
    refused = command("ensemble", "seed-1", "seed-2", "--name", "ours")
    assert isinstance(refused.exception, ConfigError)
    assert "model seed-2: the SHA-256 of its seeded weights" in str(refused.exception)
    assert not (tmp_path / "models" / "ours").exists()


def test_a_broken_ensemble_is_listed_with_what_is_wrong(
    command: Callable[..., Result], tmp_path: Path
) -> None:
    assert command("ensemble", "seed-1", "seed-2", "--name", "ours").exit_code == 0
    shutil.rmtree(tmp_path / "models" / "seed-2")
    listed = command("list", "--json")
    assert listed.exit_code == 3
    (entry,) = [entry for entry in json.loads(listed.stdout) if entry["name"] == "ours"]
    assert "its member seed-2 is not here" in entry["error"]


def test_an_ensemble_that_somebody_has_given_you_needs_its_members_first(
    command: Callable[..., Result], tmp_path: Path
) -> None:
    assert command("ensemble", "seed-1", "seed-2", "--name", "ours").exit_code == 0
    given = tmp_path / "given"
    given.mkdir()
    for name in ("ours", "seed-1"):
        shutil.move(tmp_path / "models" / name, given / name)
    refused = command("add", given / "ours")
    assert "its member seed-1 is not here" in str(refused.exception)
    for name in ("seed-1", "ours"):
        added = command("add", given / name)
        assert added.exit_code == 0, added.output
    assert len(find_model("ours", tmp_path / "models").members) == 2
