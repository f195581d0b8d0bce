"""What DICOM files say of their pictures is in the views: how grey came about, and boxes in millimetres."""

from dataclasses import replace
from pathlib import Path

from fakes import stub_scorer
from sqlalchemy import text
from support import make_run

from config.films import Film, Greyscale, Spacing
from db import ledger
from db.classifications import Classification
from db.database import Database
from db.outcomes import Outcome

FILMS = (
    Film(Greyscale.WINDOW, padded=False, spacing=Spacing(0.2, 0.1, "ImagerPixelSpacing")),
    Film(Greyscale.NO_WINDOW, padded=True, spacing=None),
    None,
)


def test_boxes_are_in_millimetres_where_the_spacing_is_known_and_films_say_how_they_became_grey(
    database: Database, tmp_path: Path
) -> None:
    make_run(database, tmp_path, 3)
    (pending,) = ledger.take_pending(database, 10)
    held = ledger.claim(database, pending.batch_id, "worker", 30.0)
    assert held is not None
    outcomes: list[Outcome] = []
    for answer, film in zip(stub_scorer(tmp_path / "models").score(held), FILMS, strict=True):
        assert isinstance(answer, Classification)
        outcomes.append(replace(answer, film=film))
    assert ledger.complete(database, held, outcomes)
    boxes = "SELECT DISTINCT image_index, box_width, box_width_mm, box_height_mm, spacing FROM heatmaps"
    films = "SELECT image_index, greyscale, padded, spacing_down, spacing_across, spacing FROM films"
    with database.read_only() as connection:
        assert connection.execute(text(f"{boxes} ORDER BY image_index")).all() == [
            ("00000000_000.png", 512, 51.2, 102.4, "ImagerPixelSpacing"),
            ("00000001_000.png", 512, None, None, None),
            ("00000002_000.png", 512, None, None, None),
        ]
        assert connection.execute(text(f"{films} ORDER BY image_index")).all() == [
            ("00000000_000.png", "window", False, 0.2, 0.1, "ImagerPixelSpacing"),
            ("00000001_000.png", "no_window", True, None, None, None),
        ]
