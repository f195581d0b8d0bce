"""Scores from and for other programs, by the command: another system's come in, a run's rows go out."""

import csv
import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import Nightread

from config.findings import FINDINGS
from db.database import Database
from jobs.imports import ImportOrder, import_scores

pytestmark = pytest.mark.processes

SCORES = "Image Index,Mass,Effusion\nb.png,0.25,0.5\na.png,0.75,0\nc.png,,\n"
LABELS = "Image Index,Finding Labels,Patient ID\na.png,Mass,PATIENT-17\nb.png,No Finding,PATIENT-18\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Scores of three images, one of them without any, and labels of two."""
    (tmp_path / "scores.csv").write_text(SCORES)
    (tmp_path / "labels.csv").write_text(LABELS)
    return tmp_path / "scores.csv", tmp_path / "labels.csv"


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, nightread: Nightread) -> Nightread:
    """The command with each of the databases."""
    if request.param == "postgresql":
        nightread.environment["NIGHTREAD_DATABASE_URL"] = request.getfixturevalue("ready_postgresql_url")
    return nightread


def write_large(folder: Path, images: int) -> tuple[Path, Path]:
    """Write scores of so many images for 14 findings, with labels that follow them."""
    rng = np.random.default_rng(17)
    probabilities = rng.beta(0.6, 4.0, (images, len(FINDINGS))).astype(np.float32)
    present = rng.random(probabilities.shape) < probabilities
    names = [f"{number // 4:08d}_{number % 4:03d}.png" for number in range(images)]
    table = pd.DataFrame(probabilities, columns=list(FINDINGS))
    table.insert(0, "Image Index", names)
    table.to_csv(folder / "large.csv", index=False)
    labels = pd.DataFrame(
        {
            "Image Index": names,
            "Finding Labels": ["|".join(np.asarray(FINDINGS)[row]) or "No Finding" for row in present],
            "Patient ID": [str(number // 4) for number in range(images)],
            "Patient Age": 20 + np.arange(images) % 60,
            "Patient Gender": [("F", "M")[number // 4 % 2] for number in range(images)],
            "View Position": [("PA", "AP")[number % 2] for number in range(images)],
        }
    )
    labels.to_csv(folder / "large-labels.csv", index=False)
    return folder / "large.csv", folder / "large-labels.csv"


# --- import-scores


def test_imported_scores_are_evaluated_at_once(either: Nightread, files: tuple[Path, Path]) -> None:
    scores, labels = files
    done = either.call("import-scores", scores, "--name", "theirs", "--labels", labels)
    assert done.returncode == 3, done.stderr
    assert "run 1: 3 images, 2 findings" in done.stdout
    assert "labels.csv has no row for 1 of the 3 images" in done.stdout
    assert "no_score" in done.stdout
    assert "Not for clinical use." in done.stdout
    assert "PATIENT" not in done.stdout + done.stderr
    assert either.sql("SELECT status, scored, failed FROM progress") == [
        {"status": "complete", "scored": 2, "failed": 1}
    ]
    found = either.sql(
        "SELECT finding, n_positive, n_negative, auroc FROM auc WHERE subgroup = 'all' ORDER BY finding"
    )
    assert [tuple(row.values()) for row in found] == [("Effusion", 0, 2, None), ("Mass", 1, 1, 1.0)]


def test_what_was_imported_is_not_imported_twice(nightread: Nightread, files: tuple[Path, Path]) -> None:
    scores, labels = files
    arguments = ("import-scores", scores, "--name", "theirs", "--labels", labels)
    assert nightread.call(*arguments).returncode == 3
    again = nightread.call(*arguments)
    assert again.returncode == 3
    assert "these scores are run 1 already; nothing was written" in again.stdout
    assert nightread.sql("SELECT COUNT(*) AS runs FROM progress") == [{"runs": 1}]
    assert nightread.sql("SELECT COUNT(*) AS n FROM evaluations") == [{"n": 1}]


def test_an_import_that_ended_before_its_evaluation_is_finished_by_the_next(
    nightread: Nightread, files: tuple[Path, Path]
) -> None:
    scores, labels = files
    assert nightread.call("db", "upgrade").returncode == 0
    import_scores(nightread.database(), ImportOrder(scores, "theirs", labels))
    assert nightread.sql("SELECT status FROM progress") == [{"status": "running"}]
    again = nightread.call("import-scores", scores, "--name", "theirs", "--labels", labels)
    assert again.returncode == 3, again.stderr
    assert nightread.sql("SELECT run_id, status FROM progress") == [{"run_id": 1, "status": "complete"}]


def test_bad_scores_are_one_line_and_exit_2(nightread: Nightread, tmp_path: Path) -> None:
    path = tmp_path / "logits.csv"
    path.write_text("Image Index,Mass\na.png,-1.5\n")
    done = nightread.call("import-scores", path, "--name", "theirs")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "logits.csv, line 2, column 'Mass'" in done.stderr
    assert "these look like logits" in done.stderr
    alone = nightread.call("import-scores", path, "--name", "theirs", "--patient-column", "Person")
    assert alone.returncode == 2
    assert "--labels" in alone.stderr
    assert nightread.call("import-scores", path, "--name", "The Irs").returncode == 2
    assert nightread.sql("SELECT COUNT(*) AS n FROM progress") == [{"n": 0}]


def test_other_commands_answer_for_an_imported_run(nightread: Nightread, files: tuple[Path, Path]) -> None:
    scores, labels = files
    assert nightread.call("import-scores", scores, "--name", "theirs", "--labels", labels).returncode == 3
    status = nightread.call("status", "1")
    assert "complete" in status.stdout
    resumed = nightread.run("resume", "1")
    assert (resumed.returncode, "Mass" in resumed.stdout) == (3, True), "it is complete: its table is shown"
    for arguments, says in (
        (("cancel", "1"), "run 1 is complete, not running"),
        (("heatmap", "1", "a.png", "--finding", "Mass", "-o", scores.with_name("a.png")), "heatmaps none"),
        (("heatmap", "1", "c.png", "--finding", "Mass", "-o", scores.with_name("c.png")), "no score"),
    ):
        done = nightread.call(*arguments)
        assert done.returncode == 2
        assert says in done.stderr
        assert done.stderr.count("\n") == 1


def test_published_scores_of_real_radiographs_have_scikit_learns_aurocs(
    either: Nightread, real_data: Path
) -> None:
    from sklearn.metrics import roc_auc_score

    scores, labels = real_data / "nih" / "reference_scores.csv", real_data / "nih" / "Data_Entry.csv"
    done = either.call(
        "import-scores", scores, "--name", "chexnet", "--labels", labels, "--images", real_data / "nih/images"
    )
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(scores).merge(pd.read_csv(labels), on="Image Index", validate="1:1")
    assert len(table) == 120
    stored = {row["finding"]: row for row in either.sql("SELECT * FROM auc WHERE subgroup = 'all'")}
    assert set(stored) == set(FINDINGS)
    for finding in FINDINGS:
        present = table["Finding Labels"].str.split("|").map(lambda names, name=finding: name in names)
        assert stored[finding]["n_positive"] == present.sum()
        expected = roc_auc_score(present, table[finding].astype(np.float32))
        assert stored[finding]["auroc"] == pytest.approx(expected, abs=1e-12), finding


def test_22_000_images_are_imported_and_evaluated_in_20_seconds_of_processor_time(
    either: Nightread, tmp_path: Path
) -> None:
    scores, labels = write_large(tmp_path, 22_000)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = either.run("import-scores", scores, "--name", "theirs", "--labels", labels)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert either.sql("SELECT COUNT(*) AS n FROM score") == [{"n": 22_000 * 14}]
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 20


# --- export


@pytest.fixture
def imported(nightread: Nightread, files: tuple[Path, Path]) -> Nightread:
    """The command with one run of imported scores."""
    scores, labels = files
    assert nightread.call("import-scores", scores, "--name", "theirs", "--labels", labels).returncode == 3
    return nightread


def test_export_writes_files_that_pandas_reads(imported: Nightread, tmp_path: Path) -> None:
    for kind, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        path = tmp_path / f"out.{kind}"
        done = imported.call("export", "1", "--format", kind, "-o", path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == f"wrote {path}: 4 rows"
        frame = read(path)
        assert list(frame["image_index"]) == ["a.png", "a.png", "b.png", "b.png"]
        assert list(frame["probability"]) == [0.0, 0.75, 0.5, 0.25]
    done = imported.call("export", "1", "--what", "auc", "-o", tmp_path / "auc.csv")
    assert set(pd.read_csv(tmp_path / "auc.csv")["subgroup"]) >= {"all"}


def test_export_to_standard_output_holds_nothing_else(imported: Nightread) -> None:
    done = imported.run("export", "1", "--wide", "-o", "-")
    assert done.returncode == 0
    header, *rows = csv.reader(io.StringIO(done.stdout))
    assert header[-2:] == ["Effusion", "Mass"]
    assert [row[1] for row in rows] == ["a.png", "b.png"]


def test_a_reader_that_has_seen_enough_ends_an_export_without_a_traceback(
    nightread: Nightread, tmp_path: Path
) -> None:
    scores, labels = write_large(tmp_path, 3_000)
    assert nightread.call("import-scores", scores, "--name", "theirs", "--labels", labels).returncode == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.commands.main", "export", "1", "-o", "-"],
        env=os.environ | {"NIGHTREAD_HOME": str(nightread.home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith(b"run_id,image_index")
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)
    assert said == b""


def test_wrong_exports_are_one_line_and_exit_2(imported: Nightread, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for arguments, says in (
        (("9", "-o", tmp_path / "out.csv"), "there is no run 9"),
        (("1", "-o", tmp_path / "out.txt"), "must end in .csv"),
        (("1", "--format", "csv", "-o", tmp_path / "out.parquet"), "--format csv"),
        (("1", "--format", "parquet", "-o", tmp_path / "out.csv"), "must end in .parquet"),
        (("1", "--format", "parquet", "-o", "-"), "standard output"),
        (("1", "-o", tmp_path / "nowhere" / "out.csv"), "there is no folder"),
        (("1", "-o", tmp_path / "folder.csv"), "is there and no file"),
        (("1", "--wide", "--what", "auc", "-o", tmp_path / "out.csv"), "--wide is for scores"),
    ):
        before = sorted(tmp_path.iterdir())
        done = imported.call("export", *arguments)
        assert done.returncode == 2, (arguments, done.stderr)
        assert says in done.stderr, (arguments, done.stderr)
        assert done.stderr.count("\n") == 1
        assert sorted(tmp_path.iterdir()) == before


def test_a_format_follows_from_the_name_and_a_name_from_run_and_rows(
    imported: Nightread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, name in (
        (("-o", "scores.PARQUET"), "scores.PARQUET"),
        ((), "run-1.csv"),
        (("--format", "parquet", "--what", "auc"), "run-1-auc.parquet"),
    ):
        first = imported.call("export", "1", *arguments)
        assert first.returncode == 0, first.stderr
        assert f"wrote {name}: " in first.stdout
        assert "replacing" not in first.stdout
        with Path(name).open("rb") as file:
            assert (file.read(4) == b"PAR1") == name.lower().endswith("parquet")
    assert ", replacing the file that was there" in imported.call("export", "1").stdout


MEASURE = """
import json, resource, sys
from db.database import Database
from jobs.export import write_file
from pathlib import Path
database = Database(sys.argv[1])
folder, run = Path(sys.argv[2]), int(sys.argv[3])
written = [write_file(database, run, folder / f"out.{kind}", kind) for kind in ("csv", "parquet")]
database.dispose()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"rows": written[0], "mib": peak / (2**20 if sys.platform == "darwin" else 2**10)}))
"""


def test_an_export_of_ten_times_the_rows_needs_no_more_memory(
    database: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    measured: list[dict[str, Any]] = []
    url = database.engine.url.render_as_string(hide_password=False)
    for images in (2_000, 20_000):
        folder = tmp_path_factory.mktemp("archive")
        scores, labels = write_large(folder, images)
        run_id = import_scores(database, ImportOrder(scores, "theirs", labels)).run_id
        command = [sys.executable, "-c", MEASURE, url, str(folder), str(run_id)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        measured.append(json.loads(done.stdout))
    assert [archive["rows"] for archive in measured] == [2_000 * 14, 20_000 * 14]
    assert measured[1]["mib"] - measured[0]["mib"] < 60, measured
