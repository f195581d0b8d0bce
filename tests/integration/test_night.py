"""Many nights within a minute: a schedule scores what is new, once, and tells when a model finds less."""

import json
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text
from support import STUB_CARD, Nightread, claim_of, eventually, write_card

from config.cards.stub import StubCard
from db.classifications import Classification
from db.database import Database
from workers.scoring.stub import StubScorer

SECRET = "token-of-the-webhook"
BETTER = STUB_CARD | {"sha256": "a" * 64, "findings": ["Mass", "Effusion"], "thresholds": [0.5, 0.5]}
WORSE = BETTER | {"sha256": "b" * 64}

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[Any]]]:
    """A webhook on loopback: its URL, and what was posted to it."""
    posted: list[Any] = []
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/{SECRET}", posted
    server.shutdown()
    server.server_close()
    thread.join()


def name_of(number: int) -> str:
    return f"{number:08d}_000.png"


def stub_scores(card: dict[str, Any], names: Sequence[str]) -> list[dict[str, float]]:
    """What the stub model of a card answers."""
    stub = StubCard.model_validate(card)
    outcomes = StubScorer(stub).score(claim_of(stub, Path(), names))
    return [
        {score.finding: score.probability for score in outcome.scores}
        for outcome in outcomes
        if isinstance(outcome, Classification)
    ]


def write_labels(path: Path, images: int, wrong: float) -> Path:
    """Write a manifest whose labels follow the better model's scores, but for a share that is wrong."""
    rng = np.random.default_rng(20260302)
    names = [name_of(number) for number in range(images)]
    lines = ["Image Index,Patient ID,Mass,Effusion"]
    for number, (name, scores) in enumerate(zip(names, stub_scores(BETTER, names), strict=True)):
        labels = [int((scores[finding] > 0.6) != (rng.random() < wrong)) for finding in BETTER["findings"]]
        lines.append(f"{name},{number // 2},{labels[0]},{labels[1]}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def let_a_day_pass(database: Database) -> None:
    """Age the schedule and what was due by a day: the time that was the next one has come."""
    # In two steps, as no two due times may meet on the way.
    with database.write() as connection:
        connection.execute(text("UPDATE schedule SET created_at = created_at - INTERVAL '1 day'"))
        for step in ("- INTERVAL '1000 days'", "+ INTERVAL '999 days'"):
            connection.execute(text(f"UPDATE schedule_due SET due_at = due_at {step}"))


def wait_for_night(cluster: Nightread, database: Database, number: int) -> None:
    """Wait until so many nights are over, with their evaluations."""

    def over() -> bool:
        with database.read() as connection:
            nights, going = connection.execute(
                text(
                    """
                    SELECT COUNT(*), SUM(CASE WHEN s.state = 'due' OR p.status IN ('running', 'evaluating')
                                         THEN 1 ELSE 0 END)
                    FROM schedules s LEFT JOIN progress p ON p.run_id = s.run_id
                    WHERE s.due_at IS NOT NULL
                    """
                )
            ).one()
        return bool(nights == number and not going)

    try:
        eventually(over, 40, f"night {number} is over")
    except BaseException:
        print(cluster.logs())  # noqa: T201  # shown with the failure
        raise


@dataclass
class Nights:
    """The schedule's world: its archive, its processes, and how many nights there were."""

    cluster: Nightread
    manifest: Path
    database: Database
    number: int = 0

    def add_schedule(self, *options: str) -> None:
        half_a_day_ago = datetime.now(UTC) - timedelta(hours=12)  # no cron time comes while the test runs
        cron = f"{half_a_day_ago.minute} {half_a_day_ago.hour} * * *"
        times = ("--cron", cron, "--margin", "0.05")
        order = ("score", self.manifest, "--images", self.manifest.parent, "--model", "stub")
        added = self.cluster.call("schedule", "add", "night", *times, *order, "--batch-size", "16", *options)
        assert added.returncode == 0, added.stderr

    def start_worker(self) -> "subprocess.Popen[bytes]":
        return self.cluster.start("worker", "--model", "stub", "--children", "2")

    def sql(self, query: str) -> list[dict[str, Any]]:
        with self.database.read_only() as connection:
            return [dict(row) for row in connection.execute(text(query)).mappings()]

    def pass_with(self, images: int, wrong: float) -> None:
        """Let a night pass, with so many images in the manifest and a share of their labels wrong."""
        write_labels(self.manifest, images, wrong)
        self.pass_as_it_is()

    def pass_as_it_is(self) -> None:
        """Let a night pass."""
        let_a_day_pass(self.database)
        self.number += 1
        wait_for_night(self.cluster, self.database, self.number)


@pytest.fixture
def nights(cluster: Nightread, received: tuple[str, list[Any]], tmp_path: Path) -> Nights:
    cluster.environment |= {"NIGHTREAD_WEBHOOK_URL": received[0], "NIGHTREAD_LOG_LEVEL": "DEBUG"}
    write_card(cluster.home / "models", BETTER)
    return Nights(cluster, write_labels(tmp_path / "manifest.csv", 60, wrong=0.1), cluster.database())


def test_a_schedule_scores_each_image_once_and_tells_once_when_a_model_finds_less(
    nights: Nights, received: tuple[str, list[Any]]
) -> None:
    cluster, posted = nights.cluster, received[1]
    worker, beat = nights.start_worker(), cluster.start("beat")
    nights.add_schedule()

    # The archive grows. Beat is killed between the first two nights, and there are two of them in the third.
    nights.pass_with(images=60, wrong=0.1)
    beat.kill()
    beat.wait()
    cluster.start("beat")
    nights.pass_with(images=130, wrong=0.1)
    cluster.start("beat")
    nights.pass_with(images=200, wrong=0.1)
    # Labels are corrected, and nothing is to be scored.
    nights.pass_with(images=200, wrong=0.0)
    # Under the model's name there is one that finds less.
    worker.terminate()
    assert cluster.ends(worker, 60) == 0
    write_card(cluster.home / "models", WORSE)
    nights.start_worker()
    nights.pass_with(images=200, wrong=0.0)
    eventually(lambda: posted, 20, "the alert is posted")
    # Nothing is new.
    nights.pass_with(images=200, wrong=0.0)

    assert_each_model_scored_each_image_once(nights)
    assert_evaluations_saw_the_whole_manifest(nights)
    assert_one_alert_was_raised_shown_and_posted(nights, posted)


def assert_each_model_scored_each_image_once(nights: Nights) -> None:
    assert nights.sql("SELECT run_id, status, images, scored, pending FROM progress ORDER BY run_id") == [
        {"run_id": number, "status": "complete", "images": images, "scored": images, "pending": 0}
        for number, images in enumerate((60, 70, 70, 0, 200), start=1)
    ]
    assert nights.sql("SELECT state, run_id FROM schedules ORDER BY due_at") == [
        *({"state": "begun", "run_id": number} for number in range(1, 6)),
        {"state": "nothing_new", "run_id": None},
    ]
    assert nights.sql(
        """
        SELECT MIN(n) AS fewest, MAX(n) AS most, COUNT(*) AS images FROM (
            SELECT p.model_sha256, s.image_index, COUNT(*) AS n
            FROM scores s JOIN progress p ON p.run_id = s.run_id
            WHERE s.finding = 'Mass' GROUP BY p.model_sha256, s.image_index) per_model
        """
    ) == [{"fewest": 1, "most": 1, "images": 400}]


def assert_evaluations_saw_the_whole_manifest(nights: Nights) -> None:
    evaluated = nights.sql(
        """
        SELECT auroc, n_positive + n_negative AS images FROM auc
        WHERE finding = 'Mass' AND subgroup = 'all' ORDER BY evaluation_id
        """
    )
    assert [row["images"] for row in evaluated] == [60, 130, 200, 200, 200]
    assert all(row["auroc"] > 0.75 for row in evaluated[:3])
    assert evaluated[3]["auroc"] == 1.0
    assert 0.35 < evaluated[4]["auroc"] < 0.65


def assert_one_alert_was_raised_shown_and_posted(nights: Nights, posted: Sequence[Any]) -> None:
    (alert,) = nights.sql("SELECT kind, schedule, run_id, message, delivered_at FROM alerts")
    assert (alert["kind"], alert["schedule"], alert["run_id"]) == ("loss", "night", 5)
    assert alert["delivered_at"] is not None
    for named in ("night", "a" * 12, "b" * 12, "Mass 1.000 -> 0.", "Effusion 1.000 -> 0."):
        assert named in alert["message"]
    tested = nights.sql("SELECT run_a, run_b, finding, images, p_holm FROM comparisons ORDER BY finding")
    assert [(row["run_a"], row["run_b"], row["images"]) for row in tested] == [(4, 5, 200)] * 2
    assert all(row["p_holm"] < 0.001 for row in tested)
    (body,) = posted
    assert (body["kind"], body["message"], body["run"]) == ("loss", alert["message"], 5)
    assert alert["message"] in nights.cluster.run("status").stderr
    logged = "".join(path.read_text() for path in nights.cluster.home.rglob("*.log"))
    assert logged.count(alert["message"]) == 1
    assert SECRET not in logged


def test_a_schedule_tells_of_a_night_that_is_unlike_its_baseline(
    nights: Nights, received: tuple[str, list[Any]]
) -> None:
    cluster, posted = nights.cluster, received[1]
    nights.start_worker()
    cluster.start("beat")

    def write_ages(adults: int, children: int) -> None:
        ages = [40 + number % 40 for number in range(adults)] + [number % 10 for number in range(children)]
        rows = [f"{name_of(number)},{number},{age}" for number, age in enumerate(ages)]
        nights.manifest.write_text("\n".join(["Image Index,Patient ID,Patient Age", *rows]) + "\n")

    write_ages(adults=80, children=0)
    submitted = cluster.call("submit", nights.manifest, "--images", nights.manifest.parent, "--model", "stub")
    assert submitted.returncode == 0, submitted.stderr
    eventually(
        lambda: nights.sql("SELECT status FROM progress") == [{"status": "complete"}], 60, "a baseline"
    )
    nights.add_schedule("--baseline", "1")
    write_ages(adults=160, children=0)
    nights.pass_as_it_is()
    assert nights.sql("SELECT * FROM alerts") == []
    write_ages(adults=160, children=80)
    nights.pass_as_it_is()
    eventually(lambda: posted, 20, "the alert is posted")

    (alert,) = nights.sql("SELECT kind, schedule, run_id, message FROM alerts")
    assert (alert["kind"], alert["schedule"], alert["run_id"]) == ("drift", "night", 3)
    assert "run 3 is not like its baseline, run 1; age_years 59.5 -> 4.5" in alert["message"]
    (body,) = posted
    assert (body["kind"], body["message"]) == ("drift", alert["message"])
    measured = nights.sql("SELECT drift_id, run_id, measure, p_holm FROM drift WHERE p_holm < 0.01")
    assert [(row["run_id"], row["measure"]) for row in measured] == [(3, "age_years")]
    assert nights.sql("SELECT DISTINCT run_id, baseline_id, n FROM drift WHERE measure = 'age_years'") == [
        {"run_id": run_id, "baseline_id": 1, "n": 80} for run_id in (2, 3)
    ]

    by_hand = cluster.call("drift", "3", "--baseline", "1", "--json")
    assert by_hand.returncode == 0, by_hand.stderr
    (age,) = [row for row in json.loads(by_hand.stdout) if row["measure"] == "age_years"]
    assert age["p_holm"] == pytest.approx(measured[0]["p_holm"])
    wrong = cluster.call("drift", "3", "--baseline", "3")
    assert (wrong.returncode, "cannot be its own baseline" in wrong.stderr) == (2, True)
