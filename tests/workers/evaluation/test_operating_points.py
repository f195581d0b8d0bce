"""Thresholds that one run's images chose, tested on another's, by rows in both databases."""

from pathlib import Path

import pytest
from sqlalchemy import text
from support import STUB_CARD, close_run, score_batches, write_card

from config.settings import Settings
from db.database import Database
from db.errors import UnknownRunError
from db.operating_points import chosen_points, model_of, points_tested, shared_images, write_tested
from jobs.submit import Order, submit
from workers.evaluation.operating_points import judge_points


def run_over(database: Database, folder: Path, numbers: range) -> int:
    """A complete run of the stub model over images of these numbers, every third with a mass."""
    write_card(folder / "models", STUB_CARD)
    manifest = folder / f"from-{numbers[0]}.csv"
    lines = [f"{number:05d}.png,{number // 2},{int(number % 3 == 0)}" for number in numbers]
    manifest.write_text("\n".join(["Image Index,Patient ID,Mass", *lines]) + "\n", encoding="utf-8")
    run_id = submit(database, Settings(home=folder), Order(manifest, folder, "stub", batch_size=64))
    score_batches(database, folder / "models")
    close_run(database, run_id)
    return run_id


def test_what_a_threshold_promised_stands_beside_what_it_keeps(database: Database, tmp_path: Path) -> None:
    first, second = run_over(database, tmp_path, range(90)), run_over(database, tmp_path, range(100, 220))
    with database.read() as connection:
        chosen = chosen_points(connection, first)
        (_, theirs) = model_of(connection, second)
        assert shared_images(connection, theirs, chosen.label_manifest_id) == 0
    rows = judge_points(database, second, theirs, chosen)
    for _ in range(2):  # a second test takes the first one's place
        with database.write() as connection:
            write_tested(connection, second, chosen, theirs, rows)
    with database.read() as connection:
        found = {row.kind: row for row in points_tested(connection, second, chosen.evaluation_id)}
        assert set(found) == {"youden", "fixed_specificity", "fixed_sensitivity"}
        for kind, row in found.items():
            hits = connection.execute(
                text(
                    "SELECT AVG(CASE WHEN probability >= :cut THEN 1.0 ELSE 0.0 END) FROM scores "
                    "WHERE run_id = :run AND finding = 'Mass' AND label = 1"
                ),
                {"cut": row.threshold, "run": second},
            ).scalar_one()
            assert row.sensitivity == pytest.approx(float(hits)), kind
            assert row.sensitivity_low < row.sensitivity_high
        assert found["fixed_specificity"].specificity_when_chosen == 0.9
        promised = connection.execute(
            text(
                "SELECT sensitivity FROM thresholds WHERE evaluation_id = :id AND finding = 'Mass' "
                "AND kind = 'youden' AND subgroup = 'all'"
            ),
            {"id": chosen.evaluation_id},
        ).scalar_one()
        assert found["youden"].sensitivity_when_chosen == promised


def test_images_in_common_are_counted_and_an_unevaluated_run_is_named(
    database: Database, tmp_path: Path
) -> None:
    first, second = run_over(database, tmp_path, range(90)), run_over(database, tmp_path, range(60, 150))
    with database.read() as connection:
        manifests = [model_of(connection, run_id)[1] for run_id in (first, second)]
        assert shared_images(connection, *manifests) == 30
        with pytest.raises(UnknownRunError, match="nightread evaluate 99"):
            chosen_points(connection, 99)
