"""How a run is cut into batches."""

from pathlib import Path

import pytest
from sqlalchemy import select
from support import make_run

from db.database import Database
from db.runs import usual_batch_size
from db.schema.runs import batch


@pytest.mark.parametrize(
    ("images", "size"),
    [(0, 8), (1, 8), (20, 8), (112, 8), (255, 8), (256, 16), (400, 24), (512, 32), (112_120, 32)],
)
def test_small_runs_are_cut_into_small_batches(images: int, size: int) -> None:
    assert usual_batch_size(images) == size


def test_twenty_images_occupy_more_than_one_worker(sqlite: Database, tmp_path: Path) -> None:
    run_id = make_run(sqlite, tmp_path, 20, batch_size=None)
    with sqlite.read() as connection:
        ends = connection.execute(
            select(batch.c.first_row, batch.c.last_row)
            .where(batch.c.run_id == run_id)
            .order_by(batch.c.number)
        ).all()
    assert [tuple(end) for end in ends] == [(1, 8), (9, 16), (17, 20)]
