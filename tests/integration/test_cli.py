"""The command line as people and scripts use it: exit codes, errors in one line, JSON, read-only SQL."""

import gzip
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from support import (
    CLASSIFIER_CARD,
    STUB_CARD,
    Nightread,
    close_run,
    make_run,
    score_batches,
    write_card,
    write_manifest,
)

from config.failures import Reason, Stage
from db.outcomes import Failed, Outcome
from db.upgrade import upgrade
from workers.commands.main import COMMANDS

STUB = ("--model", "stub")

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nightread]:
    """The command with run 1, complete, of 40 images: for tests that only look at it."""
    folder = tmp_path_factory.mktemp("scored")
    write_card(folder / "home" / "models", STUB_CARD)
    command = Nightread(folder / "home", {"NIGHTREAD_CHILDREN": "1"})
    manifest = write_manifest(folder / "manifest.csv", 40)
    done = command.run("score", manifest, "--images", folder, *STUB)
    assert done.returncode == 0, done.stderr
    yield command
    command.end()


HEADER = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"
ROW = "a.png,Mass,0,1,50,M,PA\n"

BAD_MANIFESTS = {
    "no image column": (b"name_of_it,Mass\na.png,1\n", "--image-column"),
    "duplicate image": ((HEADER + ROW + ROW).encode(), "line 3"),
    "label 2": (b"Image,Mass\na.png,0\nb.png,2\n", "line 3, column 'Mass'"),
    "broken quoting": (b'Image,Mass\na.png,0\n"b.png,1\n', "line 3"),
    "empty file": (b"", "empty"),
    "binary file": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "manifest.csv"),
    "unknown finding": ((HEADER + ROW.replace("Mass", "Flu")).encode(), "line 2, column 'Finding Labels'"),
}


@pytest.mark.parametrize("fault", BAD_MANIFESTS)
def test_a_bad_manifest_is_named_and_nothing_is_queued(
    nightread: Nightread, tmp_path: Path, fault: str
) -> None:
    content, says = BAD_MANIFESTS[fault]
    manifest = tmp_path / "manifest.csv"
    manifest.write_bytes(content)
    for command in ("score", "submit"):
        done = nightread.call(command, manifest, "--images", tmp_path, *STUB)
        assert done.returncode == 2
        assert "manifest.csv" in done.stderr
        assert says in done.stderr
        assert "Traceback" not in done.stderr
    with nightread.database().read() as connection:
        for table in ("run", "image"):
            assert connection.execute(text(f"SELECT COUNT(*) FROM {table}")).scalar_one() == 0


def test_wrong_usage_is_one_line_and_exit_2(nightread: Nightread, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "manifest.csv", 3)
    for arguments, says in (
        (("score", manifest, "--images", tmp_path / "nowhere", *STUB), "no such folder"),
        (("score", tmp_path / "none.csv", "--images", tmp_path, *STUB), "none.csv"),
        (("score", manifest, "--images", tmp_path, "--model", "gone"), "there is no model 'gone'"),
        (("score", manifest, "--images", tmp_path, *STUB, "--finding-column", "Mass"), "COLUMN=FINDING"),
        (
            ("score", manifest, "--images", tmp_path, *STUB, "--finding-column", "Patient ID=Flu"),
            "model stub has no finding Flu",
        ),
        (("status", "9"), "no run 9"),
        (("resume", "9"), "no run 9"),
        (("cancel", "9"), "no run 9"),
    ):
        assert_refused(nightread.call(*arguments), says)


def test_a_machine_without_its_settings_is_one_line_and_exit_2(nightread: Nightread) -> None:
    for arguments, says in (
        (("worker",), "NIGHTREAD_BROKER_URL"),
        (("beat",), "NIGHTREAD_BROKER_URL"),
        (("flower", "--address", "0.0.0.0"), "NIGHTREAD_FLOWER_PASSWORD"),  # noqa: S104  # is refused
    ):
        assert_refused(nightread.run(*arguments), says)


def assert_refused(done: subprocess.CompletedProcess[str], says: str) -> None:
    assert done.returncode == 2, (done.args, done.stderr)
    assert says in " ".join(done.stderr.replace("│", " ").split()), (done.args, done.stderr)
    assert "Traceback" not in done.stderr


def test_a_bad_setting_names_its_variable_and_hides_its_value(nightread: Nightread) -> None:
    nightread.environment["NIGHTREAD_DATABASE_URL"] = "mysql://root:hunter2@host/db"
    done = nightread.run("status")
    assert done.returncode == 2
    assert "NIGHTREAD_DATABASE_URL" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_a_database_that_is_away_is_said_in_one_line_without_its_password(nightread: Nightread) -> None:
    nightread.environment["NIGHTREAD_DATABASE_URL"] = "postgresql://me:hunter2@127.0.0.1:1/none"
    done = nightread.run("status")
    assert done.returncode == 1
    assert "database" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def test_other_columns_and_a_gzipped_file_are_read_by_options(nightread: Nightread, tmp_path: Path) -> None:
    manifest = tmp_path / "site.csv.gz"
    with gzip.open(manifest, "wt", encoding="utf-8-sig", newline="\r\n") as file:
        file.write('path,"Pleural fluid",Sex\na.png,1,F\nb.png,,M\nc.png,0,F\n')
    done = nightread.run(
        "score", manifest, "--images", tmp_path, *STUB, "--finding-column", "Pleural fluid=Effusion"
    )
    assert done.returncode == 0, done.stderr
    rows = nightread.sql(
        "SELECT image_index, sex, label FROM scores WHERE finding = 'Effusion' ORDER BY image_index"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("a.png", "F", 1),
        ("b.png", "M", None),
        ("c.png", "F", 0),
    ]
    query = "SELECT n_positive, n_negative FROM auc WHERE finding = 'Effusion' AND subgroup = 'all'"
    assert nightread.sql(query) == [{"n_positive": 1, "n_negative": 1}]


def test_a_submit_says_what_it_took_and_what_it_did_not(nightread: Nightread, tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("Image,Pleural Effusion,Cardiomegally\na.png,-1,1\n", encoding="utf-8")
    command = ("submit", manifest, "--images", tmp_path, *STUB)
    done = nightread.call(*command)
    assert "labels: Effusion from 'Pleural Effusion'; none for Atelectasis" in done.stderr
    assert "not used: 'Cardiomegally' (Cardiomegaly? add --finding-column" in done.stderr
    assert "uncertain labels (-1), taken as unknown (see --uncertain): 1 (" in done.stderr
    assert done.stdout.strip() == "1"
    printed = json.loads(nightread.call(*command, "--json", "--uncertain", "positive").stdout)
    assert printed["run_id"] == 2
    assert printed["reading"]["labels"] == {"Effusion": "Pleural Effusion"}
    (shown,) = json.loads(nightread.call("status", "2", "--json").stdout)
    assert shown["reading"] == printed["reading"]
    assert shown["reading"]["uncertain"] == "positive"


def test_labels_are_required_where_told(nightread: Nightread, tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    for content in ("Image\na.png\n", "Image,Mass\na.png,\n", "Image,Mass\na.png,-1\n"):
        manifest.write_text(content, encoding="utf-8")
        done = nightread.call("submit", manifest, "--images", tmp_path, *STUB, "--require-labels")
        assert done.returncode == 2
        assert "--require-labels" in done.stderr
    manifest.write_text("Image,Mass\na.png,0\n", encoding="utf-8")
    assert nightread.call("submit", manifest, "--images", tmp_path, *STUB, "--require-labels").returncode == 0


def test_a_wrong_root_is_told_the_right_one_before_anything_is_written(
    nightread: Nightread, tmp_path: Path
) -> None:
    write_card(nightread.home / "models", CLASSIFIER_CARD)
    manifest = write_manifest(tmp_path / "manifest.csv", 100)
    right = tmp_path / "archive" / "images"
    right.mkdir(parents=True)
    for number in range(100):
        (right / f"{number:08d}_000.png").touch()
    command = ("submit", manifest, "--model", "mine", "--images")
    for wrong in (tmp_path / "archive", right / "empty"):
        wrong.mkdir(exist_ok=True)
        done = nightread.call(*command, wrong)
        assert done.returncode == 2
        assert "100 of 100 images are not below" in done.stderr
        assert f"use --images {right}." in done.stderr
    assert nightread.sql("SELECT COUNT(*) AS n FROM progress") == [{"n": 0}]
    done = nightread.call(*command, right)
    assert (done.returncode, done.stdout.strip()) == (0, "1")
    assert "not below" not in done.stderr


def test_some_missing_images_are_said_and_more_of_them_are_refused(
    nightread: Nightread, tmp_path: Path
) -> None:
    write_card(nightread.home / "models", CLASSIFIER_CARD)
    manifest = write_manifest(tmp_path / "manifest.csv", 100)
    for number in range(99):
        (tmp_path / f"{number:08d}_000.png").touch()
    command = ("submit", manifest, "--images", tmp_path, "--model", "mine")
    done = nightread.call(*command)
    assert done.returncode == 0
    assert "1 of 100 images are not below" in done.stderr
    assert "'00000099_000.png'; they will fail as missing" in done.stderr
    for number in range(7):
        (tmp_path / f"{number:08d}_000.png").unlink()
    done = nightread.call(*command)
    assert done.returncode == 2
    assert "'00000003_000.png', '00000004_000.png', …" in done.stderr
    assert "--max-missing 0.08" in done.stderr
    assert nightread.call(*command, "--max-missing", "0.08").returncode == 0


def test_status_shows_a_run_for_people_and_for_scripts(scored: Nightread) -> None:
    statistics = scored.sql("SELECT COUNT(*) AS n FROM sqlite_stat1 WHERE tbl = 'score'")
    assert statistics != [{"n": 0}], "joins of the views would be slow without"
    shown = scored.run("status")
    assert "complete" in shown.stdout
    found = json.loads(scored.call("status", "1", "--json").stdout)
    assert [(run["run_id"], run["status"], run["scored"]) for run in found] == [(1, "complete", 40)]
    followed = scored.run("status", "1", "--follow")
    assert followed.returncode == 0
    assert scored.run("resume", "1").returncode == 0, "there is nothing left to do"


def test_sql_answers_and_changes_nothing(scored: Nightread) -> None:
    for change in (
        "DELETE FROM score",
        "UPDATE run SET status = 'broken'",
        "DROP VIEW scores",
        "INSERT INTO finding (name) VALUES ('x') RETURNING id",
    ):
        done = scored.call("sql", change)
        assert done.returncode == 2, change
        assert "readonly" in done.stderr or "read-only" in done.stderr
    assert scored.sql("SELECT COUNT(*) AS n FROM scores WHERE image_index LIKE '%:%' OR 1 = 1") == [
        {"n": 560}
    ]
    wrong = scored.call("sql", "SELECT nothing FROM scores")
    assert wrong.returncode == 2
    assert "nothing" in wrong.stderr


def test_submit_and_cancel_and_resume_without_a_broker(nightread: Nightread, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "manifest.csv", 20)
    submitted = nightread.call("submit", manifest, "--images", tmp_path, *STUB, "--heatmaps", "none")
    assert submitted.returncode == 0
    run = submitted.stdout.strip()
    assert f"nightread resume {run}" in submitted.stderr
    assert nightread.call("cancel", run).returncode == 0
    assert nightread.call("cancel", run).returncode == 2
    assert nightread.run("resume", run).returncode == 0
    assert nightread.sql("SELECT status, scored FROM progress") == [{"status": "complete", "scored": 20}]
    assert nightread.sql("SELECT COUNT(*) AS n FROM heatmaps") == [{"n": 0}]


def test_failed_images_are_shown_and_scored_again_once_their_files_are_there(nightread: Nightread) -> None:
    def lost(outcome: Outcome) -> Outcome:
        if outcome.image_id > 7:
            return outcome
        return Failed(outcome.image_id, Stage.READ, Reason.MISSING, "there is no such file")

    upgrade(nightread.database())
    run = make_run(nightread.database(), nightread.home, 20)
    score_batches(nightread.database(), nightread.home / "models", run, lost)
    close_run(nightread.database(), run)

    shown = nightread.call("failures", "1", "--names", "2")
    assert "7 of 20 images have failed" in shown.stdout
    assert "00000001_000.png" in shown.stdout
    assert "00000002_000.png" not in shown.stdout
    assert "nightread resume 1 --failed" in shown.stderr
    (group,) = json.loads(nightread.call("failures", "1", "--json").stdout)
    assert (group["reason"], group["images"], len(group["first"])) == ("missing", 7, 5)

    idle = nightread.call("resume", "1")
    assert idle.returncode == 3
    assert "run 1 is complete already: there was nothing to do" in idle.stderr
    assert "to score its 7 failed images again: nightread resume 1 --failed" in idle.stderr
    damaged = nightread.call("resume", "1", "--failed", "--reason", "damaged")
    assert damaged.returncode == 3
    assert "run 1 has no image that failed as damaged to score again" in damaged.stderr
    assert nightread.call("resume", "1", "--reason", "missing").returncode == 2

    done = nightread.run("resume", "1", "--failed", "--reason", "missing")
    assert done.returncode == 0, done.stderr
    assert "run 1: 7 failed images are scored again" in done.stderr
    assert "run 1: 20 of 20 images scored, 0 failed" in done.stdout
    assert "no image has failed" in nightread.call("failures", "1").stdout
    assert nightread.sql("SELECT COUNT(*) AS n FROM earlier_failures") == [{"n": 7}]


def test_a_run_is_not_resumed_with_another_model_of_the_same_name(
    nightread: Nightread, tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path / "manifest.csv", 3)
    assert nightread.call("submit", manifest, "--images", tmp_path, *STUB).returncode == 0
    write_card(nightread.home / "models", STUB_CARD | {"sha256": "1" * 64})
    refused = nightread.call("resume", "1")
    assert refused.returncode == 2
    assert "run 1 was made with another model stub than the one here: sha256 differ" in refused.stderr


def test_a_second_score_in_the_same_home_is_refused_and_told_why(
    nightread: Nightread, tmp_path: Path
) -> None:
    import fcntl

    nightread.home.mkdir(exist_ok=True)
    manifest = write_manifest(tmp_path / "manifest.csv", 3)
    with (nightread.home / "embedded.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = nightread.run("score", manifest, "--images", tmp_path, *STUB)
        again = nightread.run("resume", "1")
    for refused in (done, again):
        assert refused.returncode == 1, "it is to be waited for"
        assert "another nightread" in refused.stderr
    assert nightread.sql("SELECT run_id FROM progress") == []
    assert nightread.sql("SELECT id FROM manifest") == []


@pytest.mark.parametrize("command", [("db", "upgrade"), ("beat",), ("score", "m.csv", "--images", ".")])
def test_a_home_that_cannot_be_made_is_said_in_one_line(
    nightread: Nightread, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    nightread.environment |= {
        "NIGHTREAD_HOME": str(tmp_path / "file" / "home"),
        "NIGHTREAD_BROKER_URL": "redis://127.0.0.1:1/0",
    }
    done = nightread.run(*command)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"{tmp_path}/file/home cannot be made: Not a directory; NIGHTREAD_HOME names" in line


def test_no_log_names_a_patient(nightread: Nightread, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(HEADER + "a.png,Mass,0,PATIENT-4711,50,M,PA\ngone.png,Mass,0,PATIENT-4712,51,F,AP\n")
    nightread.environment["NIGHTREAD_LOG_LEVEL"] = "DEBUG"
    assert nightread.run("score", manifest, "--images", tmp_path, *STUB).returncode == 0
    assert "4711" not in nightread.logs()


SHOW_MODULES = """
import atexit, sys
from workers.commands.main import main
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
main()
"""


def imported(home: Path, *arguments: str) -> set[str]:
    """The modules that a command loads."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW_MODULES, *arguments],
        env=os.environ | {"NIGHTREAD_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "command", ["--help", "--version", "status", 'sql "SELECT 1"', "sql --help", "status --help"]
)
def test_what_only_asks_loads_no_network_no_queue_and_no_arrays(nightread: Nightread, command: str) -> None:
    nightread.run("db", "upgrade")
    loaded = imported(nightread.home, *shlex.split(command))
    assert "jobs.commands.app" in loaded
    assert not loaded & {"tensorflow", "keras", "sklearn", "celery", "kombu", "redis", "matplotlib"}
    assert not loaded & {"numpy", "scipy", "pandas", "cv2", "pyarrow"}


def test_the_help_loads_no_database_and_a_commands_help_no_other_command(nightread: Nightread) -> None:
    assert not imported(nightread.home, "--help") & {"sqlalchemy", "pydantic", "jobs.commands.version"}
    modules = {entry.module for entry in COMMANDS.values()}
    for name in ("score", "sql", "models", "import-scores"):
        assert imported(nightread.home, name, "--help") & modules == {COMMANDS[name].module}
