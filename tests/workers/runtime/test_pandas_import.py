"""pandas without Arrow gives what it gives with Arrow, and leaves Arrow to others."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text
from support import ROOT, make_run, score_batches

from db.database import Database
from jobs.tables.manifest import Manifest
from workers.runtime.pandas_import import import_pandas

IMAGES: Final = 150

_CHANGES: Final = """
UPDATE manifest_row SET patient_id = image_id / 3;
UPDATE manifest_row SET patient_id = NULL, age_years = NULL WHERE image_id % 7 = 0;
UPDATE manifest_row SET sex = NULL WHERE image_id % 5 = 0;
UPDATE manifest_row SET view_position = 'PA' WHERE image_id % 4 = 0;
UPDATE manifest_row SET view_position = 'Ñ schräg' WHERE image_id % 4 = 1;
UPDATE manifest_row SET view_position = '側面' WHERE image_id % 4 = 2;
UPDATE manifest_row SET view_position = NULL WHERE image_id % 4 = 3;
UPDATE image_result SET brightness = 100 + image_id % 40, feature_distance = 1 WHERE image_id % 6 > 0;
UPDATE image_result SET brightness = brightness - 60, flag = 'unlike' WHERE run_id = 2 AND image_id % 2 = 0;
"""
"""Facts that are missing or not ASCII, several images per patient, and a second run unlike the first."""

_FIGURES: Final = """
import sys
from workers.runtime.pandas_import import import_pandas
if sys.argv[1] == "python":
    import_pandas()
import pandas
from db.database import Database
from db.scores import read_scores
from workers.evaluation.classification import figures_of
from workers.evaluation.comparison import compare_runs
from workers.evaluation.drift import drift_of_runs
database = Database(sys.argv[2])
with database.read() as connection:
    scores = read_scores(connection, 2, 1)
print(scores.facts["view_position"].dtype.storage, "pyarrow" in sys.modules)
print(figures_of(scores, resamples=20, wanted_sensitivity=0.9))
print(compare_runs(database, 1, 2, 1))
print(*drift_of_runs(database, 2, 1), sep="\\n")
"""

_MANIFEST: Final = """
import sys
from pathlib import Path
from workers.runtime.pandas_import import import_pandas
import_pandas()
assert "pandas" in sys.modules and "pyarrow" not in sys.modules
from jobs.tables.manifest import Manifest
print(*Manifest(Path(sys.argv[1])), sep="\\n")
"""


def output_of(code: str, *arguments: object) -> list[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.processes
def test_figures_without_arrow_are_those_with_it(sqlite: Database, tmp_path: Path) -> None:
    for _ in range(2):
        make_run(sqlite, tmp_path, IMAGES, batch_size=IMAGES)
    score_batches(sqlite, tmp_path / "models")
    with sqlite.write() as connection:
        for change in _CHANGES.strip().splitlines():
            connection.execute(text(change))
    url = sqlite.engine.url.render_as_string()
    with_arrow, without = (output_of(_FIGURES, storage, url) for storage in ("pyarrow", "python"))
    assert (with_arrow[0], without[0]) == ("pyarrow True", "python False")
    assert without[1:] == with_arrow[1:]
    for group in ("'subgroup': 'sex=F'", "'subgroup': 'age=18-39'", "view=側面", "view=Ñ schräg", "flagged"):
        assert any(group in line for line in without), group


@pytest.mark.processes
def test_parquet_is_read_after_pandas_was_loaded_without_arrow(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    day = pa.array([1_700_000_000_000_000_001, None], pa.timestamp("ns"))
    pq.write_table(pa.table({"Image": ["a.png", "b.png"], "Mass": [1, 0], "Read on": day}), path)
    assert output_of(_MANIFEST, path) == [str(row) for row in Manifest(path)]


def test_arrow_that_is_loaded_stays_and_pandas_is_left_to_its_importer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    import_pandas()
    assert sys.modules["pyarrow"] is pa
    assert "pandas" not in sys.modules
