"""`nightread runs delete` as its user calls it: what it says, asks and refuses, and a kill in the middle."""

import signal

import psycopg
import pytest
from support import Nightread, close_run, eventually, make_run, score_batches

from db.database import Database
from db.deletion import IMAGES_AT_ONCE


def scored_run(nightread: Nightread, images: int = 10) -> int:
    database = nightread.database()
    run_id = make_run(database, nightread.home, images, batch_size=None)
    score_batches(database, nightread.home / "models", run_id)
    close_run(database, run_id)
    return run_id


@pytest.fixture
def runs(nightread: Nightread) -> Nightread:
    """Runs 1 and 2, complete."""
    assert nightread.call("db", "upgrade").returncode == 0
    assert [scored_run(nightread), scored_run(nightread, 7)] == [1, 2]
    return nightread


def test_a_run_is_deleted_and_the_space_is_said(runs: Nightread) -> None:
    done = runs.call("runs", "delete", "1", "--yes")
    assert done.returncode == 0, done.stderr
    assert "run 1: 10 images" in done.stderr
    assert "run 1 is deleted: 10 images" in done.stdout
    assert "free for new rows" in done.stdout
    assert runs.sql("SELECT run_id FROM scores GROUP BY run_id") == [{"run_id": 2}]
    again = runs.call("runs", "delete", "1", "--yes")
    assert (again.returncode, again.stderr) == (0, "run 1 is deleted already\n")


def test_a_file_that_is_vacuumed_is_smaller(runs: Nightread) -> None:
    done = runs.call("runs", "delete", "1", "2", "--yes", "--vacuum")
    assert done.returncode == 0, done.stderr
    assert "less than before" in done.stdout
    assert " 0 kB less" not in done.stdout


def test_nothing_is_deleted_without_an_answer(runs: Nightread) -> None:
    refused = runs.call("runs", "delete", "1")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert len(runs.sql("SELECT run_id FROM progress WHERE status = 'complete'")) == 2


def test_of_several_runs_none_is_deleted_if_one_is_refused(runs: Nightread) -> None:
    at_work = make_run(runs.database(), runs.home, 4)
    refused = runs.call("runs", "delete", "1", str(at_work), "--yes")
    assert refused.returncode == 2
    assert f"nightread cancel {at_work}" in refused.stderr
    assert runs.sql("SELECT status FROM progress WHERE run_id = 1") == [{"status": "complete"}]


@pytest.mark.parametrize(
    "command",
    [
        ("report", "1"),
        ("failures", "1"),
        ("cancel", "1"),
        ("resume", "1"),
        ("worklist", "1"),
        ("export", "1"),
        ("evaluate", "1"),
        ("compare", "1", "2"),
        ("browse", "1"),
    ],
)
def test_a_deleted_run_is_said_to_be_deleted(runs: Nightread, command: tuple[str, ...]) -> None:
    assert runs.call("runs", "delete", "1", "--yes").returncode == 0
    refused = runs.call(*command)
    assert refused.returncode == 2
    assert "run 1 is deleted" in refused.stderr


def test_status_has_a_deleted_run_only_if_it_is_asked_for(runs: Nightread) -> None:
    assert runs.call("runs", "delete", "1", "--yes").returncode == 0
    assert "deleted" not in runs.call("status").stdout
    assert "deleted" in runs.call("status", "1").stdout
    assert runs.call("failures", "last").stdout.startswith("run 2")


def test_a_command_that_is_killed_in_the_middle_ends_when_it_is_repeated(
    nightread: Nightread, ready_postgresql_url: str, postgresql: Database
) -> None:
    nightread.environment["NIGHTREAD_DATABASE_URL"] = ready_postgresql_url
    images = IMAGES_AT_ONCE + 100
    run_id, other = scored_run(nightread, images), scored_run(nightread)
    with psycopg.connect(ready_postgresql_url.replace("+psycopg", "")) as held:
        # The second step waits here.
        held.execute(
            f"SELECT 1 FROM image_result WHERE run_id = {run_id} ORDER BY image_id DESC LIMIT 1 FOR UPDATE"
        )
        command = nightread.start("runs", "delete", str(run_id), "--yes")
        left = f"SELECT COUNT(*) FROM image_result WHERE run_id = {run_id}"
        eventually(lambda: held.execute(left).fetchone() == (100,), what="the first step is committed")
        command.send_signal(signal.SIGKILL)
        command.wait()
    assert nightread.sql("SELECT status FROM progress ORDER BY run_id")[0] == {"status": "deleting"}
    assert nightread.sql(f"SELECT COUNT(*) AS rows FROM scores WHERE run_id = {run_id}") == [{"rows": 0}]
    done = nightread.call("runs", "delete", str(run_id), "--yes")
    assert done.returncode == 0, done.stderr
    assert f"run {run_id} is deleted" in done.stdout
    with postgresql.read() as connection:
        counts = connection.exec_driver_sql(
            "SELECT run_id, COUNT(*) FROM score GROUP BY run_id UNION ALL "
            "SELECT run_id, COUNT(*) FROM image_result GROUP BY run_id"
        ).all()
    assert [tuple(row) for row in counts] == [(other, 140), (other, 10)]
