"""An ensemble's run is the mean of its members' runs, of pictures that were decoded once."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dicom_support import film
from ensemble_support import FINDINGS, write_toy
from sqlalchemy import text
from support import LEASE, claim_of, close_run, write_card

from config.cards.classification import ARCHITECTURES
from config.cards.model import find_model, networks_of, require_classifier
from config.films import Recipe
from config.settings import Settings
from db import ledger
from db.classifications import Classification
from db.database import Database
from db.outcomes import Failed
from jobs.submit import Order, submit
from workers.inference.formats.decode import picture_of
from workers.inference.formats.picture import Picture
from workers.models.ensemble import EnsembleOptions, make_ensemble
from workers.prepared import pictures
from workers.scoring.kinds import make_scorer
from workers.scoring.scorer import Scorer, ScorerOptions

MEMBERS: dict[str, dict[str, Any]] = {
    "one": {"seed": 1},
    "two": {"seed": 2},
    # Another order of findings, other pixels, and other greys of films.
    "three": {"seed": 3, "findings": FINDINGS[::-1], "size": 64, "greyscale": "minmax"},
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of several shapes, a film, and a file that cannot be read, with their manifest."""
    root = tmp_path_factory.mktemp("archive")
    random = np.random.default_rng(6)
    names = []
    for number, shape in enumerate([(80, 60), (64, 64), (50, 90), (70, 70), (60, 100)]):
        names.append(f"{number}.png")
        ramp = np.linspace(0, 40 * (number + 1), shape[1])[None] * np.ones((shape[0], 1))
        assert cv2.imwrite(str(root / names[-1]), (ramp + random.integers(0, 50, shape)).astype(np.uint8))
    (root / "film").write_bytes(
        film(random.integers(300, 1500, (60, 70)).astype(np.uint16), WindowCenter=700, WindowWidth=900)
    )
    (root / "cut.png").write_bytes((root / "0.png").read_bytes()[:-20])
    lines = [f"{name},{number % 2},0,1" for number, name in enumerate([*names, "film", "cut.png"])]
    (root / "manifest.csv").write_text(
        "\n".join(["Image Index,Mass,Nodule,Edema", *lines]) + "\n", encoding="utf-8"
    )
    return root


@pytest.fixture
def models(tensorflow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three networks and of the ensemble `ours`."""
    assert tensorflow
    monkeypatch.setitem(ARCHITECTURES, "toy", "toy_network")
    folder = tmp_path / "models"
    for name, fields in MEMBERS.items():
        write_toy(folder, name, **fields)
    make_ensemble(folder, "ours", list(MEMBERS), EnsembleOptions(), lambda _: None)
    return folder


def scorer_of(models: Path, name: str, overlays: Path) -> Scorer:
    return make_scorer(find_model(name, models), ScorerOptions("tensorflow", 1, overlays, 100_000))


def score_run(database: Database, archive: Path, home: Path, model: str) -> int:
    """Score the archive as a run, batch by batch as workers do, and evaluate it."""
    order = Order(archive / "manifest.csv", archive, model, heatmaps="all", batch_size=4)
    run_id = submit(database, Settings(home=home), order)
    scorer = scorer_of(home / "models", model, home / "heatmaps")
    for announced in ledger.take_pending(database, 10, run_id):
        held = ledger.claim(database, announced.batch_id, "worker", LEASE)
        assert held is not None
        assert ledger.complete(database, held, scorer.score(held), scorer.engine)
    close_run(database, run_id)
    return run_id


def test_an_ensembles_run_is_the_mean_of_its_members_runs_in_sql(
    sqlite: Database, archive: Path, models: Path, tmp_path: Path
) -> None:
    ours, *theirs = [score_run(sqlite, archive, tmp_path, name) for name in ("ours", *MEMBERS)]
    with sqlite.read_only() as connection:
        rows = connection.execute(
            text(
                "SELECT e.image_index, e.finding, e.probability, e.spread, COUNT(*) AS members, "
                "AVG(s.probability) AS mean, AVG(s.probability * s.probability) AS squares, "
                "MAX(s.probability) - MIN(s.probability) AS range, MAX(s.spread) AS alone "
                "FROM scores e JOIN scores s ON s.image_index = e.image_index AND s.finding = e.finding "
                f"AND s.run_id IN ({theirs[0]}, {theirs[1]}, {theirs[2]}) WHERE e.run_id = {ours} "
                "GROUP BY e.image_index, e.finding, e.probability, e.spread"
            )
        ).all()
        failed = connection.execute(text("SELECT run_id, image_index, reason FROM failures")).all()
        traced = connection.execute(text(f"SELECT * FROM members WHERE run_id = {ours} ORDER BY place")).all()
        of_others = connection.execute(
            text(f"SELECT COUNT(*) FROM members WHERE run_id <> {ours}")
        ).scalar_one()
        known = connection.execute(
            text(f"SELECT model, model_sha256 FROM progress WHERE run_id <> {ours}")
        ).all()
        aurocs = connection.execute(
            text(f"SELECT COUNT(*) FROM auc WHERE run_id = {ours} AND finding = 'Mass' AND auroc IS NOT NULL")
        ).scalar_one()
        flagged = connection.execute(
            text("SELECT MAX(ABS(m.threshold - 0.5)) FROM scores m WHERE m.run_id = :run"), {"run": ours}
        ).scalar_one()
    assert len(rows) == 6 * len(FINDINGS)
    for row in rows:
        assert row.members == 3
        assert row.probability == pytest.approx(row.mean, abs=1e-6)
        assert row.spread == pytest.approx(np.sqrt(max(0.0, row.squares - row.mean**2)), abs=1e-4)
        assert 0 < row.spread < row.range
        assert row.alone is None
    assert {tuple(row) for row in failed} == {(run, "cut.png", "truncated") for run in (ours, *theirs)}
    # From the run to each member's hash; the members' own runs have the same.
    assert [row.member for row in traced] == list(MEMBERS)
    assert {(row.member, row.member_sha256) for row in traced} == {tuple(row) for row in known}
    card = require_classifier(find_model("ours", models)).card
    assert {(row.model, row.model_sha256) for row in traced} == {("ours", card.sha256)}
    assert [row.member_card_sha256 for row in traced] == [
        find_model(name, models).card.fingerprint for name in MEMBERS
    ]
    assert of_others == 0
    assert aurocs >= 1
    assert flagged == 0


def test_a_picture_is_decoded_once_and_a_film_once_per_recipe(
    archive: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[bytes, Recipe]] = []

    def decoded(content: bytes, max_pixels: int, bits: int | None, recipe: Recipe) -> Picture:
        asked.append((content, recipe))
        return picture_of(content, max_pixels, bits, recipe)

    monkeypatch.setattr(pictures, "picture_of", decoded)
    ours = require_classifier(find_model("ours", models))
    outcomes = scorer_of(models, "ours", tmp_path).score(
        claim_of(ours.card, archive, ["0.png", "film"], "all")
    )
    assert all(isinstance(outcome, Classification) for outcome in outcomes)
    counts = {
        name: [recipe for content, recipe in asked if content == (archive / name).read_bytes()]
        for name in ("0.png", "film")
    }
    assert counts == {"0.png": ["window"], "film": ["window", "minmax"]}
    assert [network.card.pixels.greyscale for network in networks_of(ours)] == ["window", "window", "minmax"]
    maps = {outcome.map_shape for outcome in outcomes if isinstance(outcome, Classification)}
    assert maps == {(4, 4)}, "the first member's"


def test_an_image_that_one_member_does_not_take_fails(archive: Path, models: Path, tmp_path: Path) -> None:
    card = json.loads(find_model("three", models).card.model_dump_json())
    write_card(models, card | {"pixels": card["pixels"] | {"least_side": 75}})
    make_ensemble(models, "strict", list(MEMBERS), EnsembleOptions(), lambda _: None)
    strict = require_classifier(find_model("strict", models))
    outcomes = scorer_of(models, "strict", tmp_path).score(claim_of(strict.card, archive, ["0.png", "1.png"]))
    assert [outcome.reason for outcome in outcomes if isinstance(outcome, Failed)] == ["too_small"] * 2
