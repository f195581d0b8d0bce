"""What a model's gate says of an image is in the view quality; without a gate there is no row."""

from dataclasses import replace
from pathlib import Path

from fakes import stub_scorer
from sqlalchemy import text
from support import make_run

from config.quality import Flag, Quality
from db import ledger, queries
from db.classifications import Classification
from db.database import Database
from db.outcomes import Outcome

QUALITIES = (Quality(0.5, 0.25, 128.0, 64.0, None), Quality(0.75, 1.5, 32.0, 16.0, Flag.ROTATED_90), None)


def test_flags_and_distances_are_in_the_view_and_counted(database: Database, tmp_path: Path) -> None:
    run_id = make_run(database, tmp_path, 3)
    (pending,) = ledger.take_pending(database, 10)
    held = ledger.claim(database, pending.batch_id, "worker", 30.0)
    assert held is not None
    outcomes: list[Outcome] = []
    for answer, quality in zip(stub_scorer(tmp_path / "models").score(held), QUALITIES, strict=True):
        assert isinstance(answer, Classification)
        outcomes.append(replace(answer, quality=quality))
    assert ledger.complete(database, held, outcomes)
    query = (
        "SELECT image_index, flag, feature_distance, picture_distance, brightness, contrast "
        "FROM quality ORDER BY image_index"
    )
    with database.read_only() as connection:
        assert connection.execute(text(query)).all() == [
            ("00000000_000.png", None, 0.5, 0.25, 128.0, 64.0),
            ("00000001_000.png", "rotated_90", 0.75, 1.5, 32.0, 16.0),
        ]
    assert queries.count_flagged(database, run_id) == (2, 1)
