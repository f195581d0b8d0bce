"""A scheduled run is compared with its baseline: what has shifted is in the view, and raises one alert."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text, update
from support import STUB_CARD, score_batches, write_card, write_manifest

from config.settings import Settings
from db import alerts, evaluations, recovery, schedules
from db.database import Database
from db.errors import UnknownRunError
from db.evaluations import EvaluationClaim, Figures
from db.samples import read_sample
from db.schema.runs import run
from jobs.submit import Order, submit
from workers.evaluation.drift import LEVEL, check_drift, drift_of_runs, is_shifted

NOW = datetime(2026, 3, 2, tzinfo=UTC)
IMAGES = 120


@dataclass
class Nights:
    """An archive and a schedule whose baseline is the first run."""

    database: Database
    folder: Path
    schedule_id: int

    def night(self, card: str = "a") -> EvaluationClaim:
        """Score the archive for the schedule; gives the closing evaluation, claimed."""
        write_card(self.folder / "models", STUB_CARD | {"sha256": card * 64})
        settings = Settings(home=self.folder)
        order = Order(self.folder / "manifest.csv", self.folder, "stub", heatmaps="none", batch_size=IMAGES)
        run_id = submit(self.database, settings, order)
        with self.database.write() as connection:
            connection.execute(update(run).where(run.c.id == run_id).values(schedule_id=self.schedule_id))
        score_batches(self.database, settings.models)
        (due,) = recovery.close_finished(self.database, run_id)
        claimed = evaluations.claim_evaluation(self.database, due, 60)
        assert claimed is not None
        return claimed

    def write(self, query: str) -> None:
        with self.database.write() as connection:
            connection.execute(text(query))

    def darken(self, run_id: int) -> None:
        """Give the first run brightnesses, and another one lower ones; raise the other's Mass."""
        self.write("UPDATE image_result SET brightness = 100 + image_id, contrast = 50")
        self.write(f"UPDATE image_result SET brightness = brightness - 60 WHERE run_id = {run_id}")
        self.write(
            "UPDATE score SET probability = probability / 2 + 0.5 WHERE finding_id = "
            f"(SELECT id FROM finding WHERE name = 'Mass') AND run_id = {run_id}"
        )


@pytest.fixture
def nights(database: Database, tmp_path: Path) -> Nights:
    write_manifest(tmp_path / "manifest.csv", IMAGES)
    schedule_id = schedules.add(
        database,
        name="night",
        cron="0 2 * * *",
        timezone="UTC",
        action="{}",
        margin=0.02,
        now=NOW,
        baseline_id=1,
    )
    return Nights(database, tmp_path, schedule_id)


def test_a_night_like_its_baseline_is_kept_and_raises_nothing(nights: Nights) -> None:
    nights.night()
    held = nights.night()
    check = check_drift(nights.database, held)
    assert check is not None
    assert check.message is None
    assert evaluations.complete_evaluation(nights.database, held, Figures(), None, check)
    with nights.database.read() as connection:
        rows = connection.execute(text("SELECT * FROM drift WHERE p IS NOT NULL")).all()
    assert {(row.run_id, row.baseline_id, row.n, row.n_baseline) for row in rows} == {(2, 1, IMAGES, IMAGES)}
    assert {row.measure for row in rows} == {
        "probability",
        "over_threshold",
        "age_years",
        "sex=F",
        "sex=M",
        "view=PA",
    }
    assert all(row.p_holm == 1 for row in rows)
    assert alerts.since(nights.database, NOW) == []


def test_a_night_that_shifted_raises_one_alert_that_says_what(nights: Nights) -> None:
    nights.night()
    held = nights.night()
    nights.darken(held.run_id)
    check = check_drift(nights.database, held)
    assert check is not None
    shifted = {(row["measure"], row["finding"]) for row in check.rows if is_shifted(row)}
    assert shifted == {("brightness", None), ("probability", "Mass"), ("over_threshold", "Mass")}
    for _ in range(2):  # a transaction whose answer was lost is repeated
        assert evaluations.complete_evaluation(nights.database, held, Figures(), None, check)
    (raised,) = alerts.since(nights.database, datetime.now(UTC) - timedelta(minutes=1))
    assert (raised.kind, raised.schedule, raised.run_id) == ("drift", "night", 2)
    assert "run 2 is not like its baseline, run 1" in raised.message
    assert "brightness" in raised.message
    assert "probability of Mass" in raised.message
    with nights.database.read() as connection:
        linked = connection.execute(
            text("SELECT v.measure, v.p_holm FROM drift v JOIN alerts a ON a.drift_id = v.drift_id")
        ).all()
    assert len(linked) == len(check.rows)
    assert min(row.p_holm for row in linked if row.p_holm is not None) < LEVEL


def test_another_models_scores_are_not_compared_but_its_images_are(nights: Nights) -> None:
    nights.night()
    held = nights.night("b")
    nights.darken(held.run_id)
    rows = {(row["measure"], row["finding"]): row for row in drift_of_runs(nights.database, held.run_id, 1)}
    assert rows["probability", "Mass"]["reason"] == "the runs are of different models"
    assert rows["probability", "Mass"]["p"] is None
    assert is_shifted(rows["brightness", None])


def test_a_sample_has_the_runs_own_images_alone(nights: Nights) -> None:
    nights.night()
    held = nights.night()
    nights.write(f"UPDATE run SET only_new = {'true'} WHERE id = {held.run_id}")
    nights.write(f"DELETE FROM score WHERE run_id = {held.run_id} AND image_id > 50")
    with nights.database.read() as connection:
        sample = read_sample(connection, held.run_id)
    assert len(sample.facts) == sample.probabilities.shape[0] == 50
    assert np.isfinite(sample.probabilities).all()


def test_the_baseline_itself_and_a_schedule_without_one_are_not_compared(nights: Nights) -> None:
    assert check_drift(nights.database, nights.night()) is None
    nights.write("UPDATE schedule SET baseline_id = NULL")
    assert check_drift(nights.database, nights.night()) is None


def test_an_unknown_run_is_said(nights: Nights) -> None:
    with pytest.raises(UnknownRunError, match="no run 9"):
        drift_of_runs(nights.database, 9, 1)
