"""An evaluation is computed by what its model's kind asks for."""

import json
from pathlib import Path

import pytest
from sqlalchemy import update
from support import STUB_CARD, make_run

from db.database import Database
from db.evaluations import EvaluationClaim, Figures
from db.schema.runs import model
from workers.errors import UnknownKindError
from workers.evaluation import figures
from workers.evaluation.figures import EVALUATIONS, evaluate_run

FOUND = {kind: Figures() for kind in ("classification", "volume")}


@pytest.fixture(autouse=True)
def _two_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each computes figures of its own, so that the test can tell which was asked."""
    kinds = {kind: lambda _database, _held, found=found: found for kind, found in FOUND.items()}
    monkeypatch.setattr(figures, "EVALUATIONS", kinds)


def claim_of(database: Database, folder: Path, **card: str) -> EvaluationClaim:
    """An evaluation's claim, of a run whose model's card says this."""
    run_id = make_run(database, folder, 1)
    with database.write() as connection:
        unkind = {name: value for name, value in STUB_CARD.items() if name != "kind"}
        connection.execute(update(model).values(card=json.dumps(unkind | card)))
    return EvaluationClaim(1, run_id, 1, "manifest", True, 0, None, None, None, "token")


def test_the_card_says_which_figures_are_computed(sqlite: Database, tmp_path: Path) -> None:
    assert evaluate_run(sqlite, claim_of(sqlite, tmp_path, kind="volume")) is FOUND["volume"]


def test_a_card_without_a_kind_is_that_of_a_classification(sqlite: Database, tmp_path: Path) -> None:
    assert evaluate_run(sqlite, claim_of(sqlite, tmp_path)) is FOUND["classification"]


def test_a_kind_that_is_not_here_is_named_with_those_that_are(sqlite: Database, tmp_path: Path) -> None:
    with pytest.raises(UnknownKindError) as caught:
        evaluate_run(sqlite, claim_of(sqlite, tmp_path, kind="detection"))
    assert {"'detection'", "classification", "volume;"} <= set(str(caught.value).replace(",", "").split())


def test_the_stub_is_evaluated_as_the_classification_that_it_stands_in_for() -> None:
    assert EVALUATIONS["stub"] is EVALUATIONS["classification"]
