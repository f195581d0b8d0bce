"""When a schedule tells of a loss: a significant one beyond its margin, against another model, and once."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update
from support import STUB_CARD, claim_of, score_batches, write_card

from config.cards.stub import StubCard
from config.settings import Settings
from db import alerts, evaluations, recovery, schedules
from db.alerts import RegressionCheck
from db.classifications import Classification
from db.database import Database
from db.evaluations import EvaluationClaim
from db.schema.evaluations import evaluation
from db.schema.runs import run
from jobs.submit import Order, submit
from workers.evaluation.regression import check_regression, is_loss
from workers.scoring.stub import StubScorer

BETTER = STUB_CARD | {"sha256": "a" * 64, "findings": ["Mass", "Hernia"], "thresholds": [0.5, 0.5]}
WORSE = BETTER | {"sha256": "b" * 64}
OTHER_CARD = BETTER | {"thresholds": [0.4, 0.4]}
NOW = datetime(2026, 3, 2, tzinfo=UTC)
IMAGES = 80


def scores_of(card: dict[str, Any], names: list[str]) -> list[float]:
    """What the stub model of a card answers for its first finding."""
    stub = StubCard.model_validate(card)
    outcomes = StubScorer(stub).score(claim_of(stub, Path(), names))
    return [outcome.scores[0].probability for outcome in outcomes if isinstance(outcome, Classification)]


@dataclass
class Watching:
    """An archive whose labels of Mass are the better model's scores, and a schedule."""

    database: Database
    folder: Path
    schedule_id: int

    def night(self, card: dict[str, Any], *, scheduled: bool = True) -> EvaluationClaim:
        """Score the archive by a model, as the schedule's run; gives its closing evaluation, claimed."""
        write_card(self.folder / "models", card)
        settings = Settings(home=self.folder)
        order = Order(self.folder / "manifest.csv", self.folder, "stub", heatmaps="none", batch_size=IMAGES)
        run_id = submit(self.database, settings, order)
        if scheduled:
            with self.database.write() as connection:
                connection.execute(update(run).where(run.c.id == run_id).values(schedule_id=self.schedule_id))
        score_batches(self.database, settings.models)
        (due,) = recovery.close_finished(self.database, run_id)
        claimed = evaluations.claim_evaluation(self.database, due, 60)
        assert claimed is not None
        return claimed

    def end(self, held: EvaluationClaim, state: str = "done") -> None:
        with self.database.write() as connection:
            ended = evaluation.c.id == held.evaluation_id
            connection.execute(update(evaluation).where(ended).values(state=state))

    def after(self, card: dict[str, Any]) -> EvaluationClaim:
        """An evaluation of a model's run that the better model's was before."""
        self.end(self.night(BETTER))
        return self.night(card)

    def set_margin(self, margin: float) -> None:
        with self.database.write() as connection:
            connection.execute(text("UPDATE schedule SET margin = :margin"), {"margin": margin})


@pytest.fixture
def watching(database: Database, tmp_path: Path) -> Watching:
    names = [f"{number:03d}.png" for number in range(IMAGES)]
    lines = ["Image Index,Mass,Hernia"]
    lines += [
        f"{name},{int(score > 0.5)},0" for name, score in zip(names, scores_of(BETTER, names), strict=True)
    ]
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    added = {"cron": "0 2 * * *", "timezone": "UTC", "action": "{}", "margin": 0.02, "now": NOW}
    return Watching(database, tmp_path, schedules.add(database, name="night", **added))  # type: ignore[arg-type]


def found(watching: Watching, held: EvaluationClaim) -> RegressionCheck:
    """What the check found, of which there must be one."""
    check = check_regression(watching.database, held)
    assert check is not None
    return check


def test_a_model_that_finds_less_gives_an_alert_that_names_all_that_is_needed(watching: Watching) -> None:
    held = watching.after(WORSE)
    message = found(watching, held).message
    assert message is not None
    for named in (
        "schedule night",
        "stub (aaaaaaaaaaaa) in run 1",
        "stub (bbbbbbbbbbbb) in run 2",
        "Mass 1.000",
    ):
        assert named in message
    assert "Hernia" not in message  # no image has it: there is nothing to lose


def test_a_loss_is_written_with_its_comparison_and_its_alert_once(
    watching: Watching, caplog: pytest.LogCaptureFixture
) -> None:
    held = watching.after(WORSE)
    check = found(watching, held)
    for _ in range(2):
        with watching.database.write() as connection:
            alerts.raise_loss(connection, check)
    (raised,) = alerts.since(watching.database, datetime.now(UTC) - timedelta(minutes=1))
    assert (raised.kind, raised.schedule, raised.evaluation_id) == ("loss", "night", held.evaluation_id)
    assert caplog.text.count(raised.message) == 1
    with watching.database.read() as connection:
        compared = connection.execute(
            text("SELECT * FROM comparisons WHERE finding = 'Mass' ORDER BY comparison_id LIMIT 1")
        ).one()
        linked = connection.execute(text("SELECT comparison_id FROM alerts")).scalar_one()
    assert (compared.run_a, compared.run_b, compared.images) == (1, 2, IMAGES)
    assert compared.auroc_a == 1.0
    assert compared.difference == pytest.approx(compared.auroc_a - compared.auroc_b)
    assert linked == compared.comparison_id


def test_a_model_that_finds_more_is_compared_and_raises_nothing(watching: Watching) -> None:
    watching.end(watching.night(WORSE))
    check = found(watching, watching.night(BETTER))
    assert check.message is None
    with watching.database.write() as connection:
        alerts.raise_loss(connection, check)
    assert alerts.since(watching.database, NOW) == []


def test_a_loss_within_the_schedules_margin_raises_nothing(watching: Watching) -> None:
    held = watching.after(WORSE)
    watching.set_margin(0.9)
    assert found(watching, held).message is None


@pytest.mark.parametrize(
    ("difference", "p_holm", "lost"),
    [
        (0.03, 0.01, True),
        (0.03, 0.05, False),
        (0.02, 0.01, False),
        (-0.3, 0.01, False),
        (0.3, None, False),
        (None, None, False),
    ],
)
def test_a_loss_is_beyond_the_margin_and_significant(
    difference: float | None, p_holm: float | None, *, lost: bool
) -> None:
    assert is_loss({"difference": difference, "p_holm": p_holm}, 0.02) is lost


def test_the_first_evaluation_has_nothing_before_it(watching: Watching) -> None:
    assert check_regression(watching.database, watching.night(BETTER)) is None


def test_the_same_model_is_not_tested_against_itself(watching: Watching) -> None:
    assert check_regression(watching.database, watching.after(BETTER)) is None


def test_a_run_without_a_schedule_is_not_watched(watching: Watching) -> None:
    watching.end(watching.night(BETTER, scheduled=False))
    held = watching.night(WORSE, scheduled=False)
    assert held.schedule_id is None
    assert check_regression(watching.database, held) is None


def test_an_evaluation_that_failed_hides_no_loss(watching: Watching) -> None:
    watching.end(watching.night(BETTER))
    watching.end(watching.night(WORSE), state="failed")
    assert found(watching, watching.night(WORSE)).run_before == 1


def test_models_of_equal_weights_are_told_apart_by_their_cards(watching: Watching) -> None:
    watching.end(watching.night(BETTER))
    held = watching.night(OTHER_CARD)
    with watching.database.read() as connection:
        before = alerts.predecessor(connection, watching.schedule_id, held.evaluation_id, held.run_id)
    assert before is not None
    assert before.model != before.model_now
    assert "a" * 12 not in before.model
