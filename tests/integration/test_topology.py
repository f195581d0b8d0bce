"""The services of docker-compose.yml as processes: with nobody waiting, workers and beat complete a run."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import psutil
import pytest
from compose_file import example, services, shell_of
from sqlalchemy import make_url, text
from support import Nightread, QueueServer, eventually, free_port, write_manifest

from config.findings import FINDINGS
from db import queries
from db.database import Database

IMAGES = 600
SERVICES = services({name: given or f"for-{name}" for name, (given, _) in example().items()})
FLOWER_PASSWORD = "flower-secret"
DATABASE_PASSWORD = "database-secret"

pytestmark = pytest.mark.processes


@pytest.fixture
def stack(cluster: Nightread) -> Nightread:
    """The cluster with a secret in each place where one can be, and a log that says all it can."""
    cluster.environment["TMPDIR"] = str(cluster.home)
    url = make_url(cluster.environment["NIGHTREAD_DATABASE_URL"]).set(password=DATABASE_PASSWORD)
    cluster.environment |= {
        "NIGHTREAD_DATABASE_URL": url.render_as_string(hide_password=False),
        "NIGHTREAD_FLOWER_PASSWORD": FLOWER_PASSWORD,
        "NIGHTREAD_LOG_LEVEL": "DEBUG",
    }
    return cluster


@pytest.fixture
def ledger(stack: Nightread) -> Iterator[Database]:
    database = Database(stack.environment["NIGHTREAD_DATABASE_URL"])
    yield database
    database.dispose()


def start(stack: Nightread, service: str, *options: str) -> subprocess.Popen[bytes]:
    """Start a service with compose's own command; `options` are what the test needs otherwise."""
    return stack.start(*SERVICES[service]["command"], *options)


def healthy(stack: Nightread, service: str, replaced: Mapping[str, str] = MappingProxyType({})) -> bool:
    """Ask a service's health check of compose's, as Docker would; `replaced` is what differs in the test."""
    check = shell_of(SERVICES[service])
    for old, new in replaced.items():
        assert any(old in part for part in check)
        check = [part.replace(old, new) for part in check]
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOSTNAME": socket.gethostname(),
        "NIGHTREAD_HOME": str(stack.home),
    }
    asked = subprocess.run(
        check, env=os.environ | environment | stack.environment, capture_output=True, check=False
    )
    return asked.returncode == 0


def end(*processes: subprocess.Popen[bytes]) -> tuple[set[int], float]:
    """Ask services to stop, as Docker does; their exit codes and the seconds until no child is left."""
    family = [
        child for process in processes for child in psutil.Process(process.pid).children(recursive=True)
    ]
    began = time.monotonic()
    for process in processes:
        process.send_signal(signal.SIGTERM)
    codes = {process.wait(30) for process in processes}
    _, left = psutil.wait_procs(family, timeout=5)
    assert not left
    return codes, time.monotonic() - began


def completed(ledger: Database, run_id: int) -> bool:
    return queries.progress(ledger, run_id).status == "complete"


def lines_with_secret(stack: Nightread, secrets: tuple[str, ...]) -> list[str]:
    return [
        line
        for path in stack.home.rglob("*.log")
        for line in path.read_text(errors="replace").splitlines()
        if any(secret in line for secret in secrets)
    ]


def test_workers_and_beat_complete_a_run_that_nobody_waits_for(
    stack: Nightread, ledger: Database, queue_server: QueueServer, tmp_path: Path
) -> None:
    secrets = (queue_server.password, FLOWER_PASSWORD, DATABASE_PASSWORD)
    migrated = stack.run(*SERVICES["migrate"]["command"])
    assert migrated.returncode == 0, migrated.stderr

    port = str(free_port())
    workers = [
        start(stack, "worker-cpu", "--model", "stub", "--children", "1"),
        start(stack, "worker", "--model", "stub", "--children", "1", "--name", "second@%h"),
    ]
    # Two at once, as when somebody starts a second one by mistake.
    beats = [start(stack, "beat"), start(stack, "beat")]
    flower = start(stack, "flower", "--address", "127.0.0.1", "--port", port)
    eventually(lambda: healthy(stack, "worker-cpu"), what="the first worker is healthy")
    eventually(
        lambda: healthy(stack, "worker", {"nightread@": "second@"}), what="the second worker is healthy"
    )
    eventually(lambda: healthy(stack, "beat"), what="beat is healthy")
    eventually(lambda: healthy(stack, "flower", {"5555": port}), what="Flower is healthy")
    assert not healthy(stack, "worker", {"nightread@": "nobody@", "10": "1"})

    manifest = write_manifest(tmp_path / "manifest.csv", IMAGES)
    submitted = stack.run("submit", manifest, "--images", tmp_path, "--model", "stub", "--batch-size", "4")
    assert submitted.returncode == 0, submitted.stderr
    run_id = int(submitted.stdout)
    eventually(lambda: completed(ledger, run_id), 40, f"run {run_id} is complete")

    counted = "SELECT COUNT(*) AS scores, COUNT(DISTINCT image_index) AS images FROM scores"
    assert stack.sql(counted) == [{"scores": IMAGES * 14, "images": IMAGES}]
    aucs = stack.sql("SELECT finding, subgroup, n_positive + n_negative AS n FROM auc WHERE subgroup = 'all'")
    assert sorted(row["finding"] for row in aucs) == sorted(FINDINGS)
    assert {row["n"] for row in aucs} == {IMAGES}
    with ledger.read() as connection:
        rows = connection.execute(text("SELECT worker, state, attempt FROM batch")).all()
        evaluations = connection.execute(text("SELECT state FROM evaluation")).scalars().all()
    assert {(row.state, row.attempt) for row in rows} == {("done", 1)}
    assert evaluations == ["done"]
    scored_by = {psutil.Process(int(row.worker.rpartition(":")[2])).ppid() for row in rows}
    assert scored_by == {worker.pid for worker in workers}

    family = [psutil.Process(service.pid) for service in (*workers, *beats, flower)]
    family += [child for process in family for child in process.children(recursive=True)]
    command_lines = [" ".join(process.cmdline()) for process in family]
    assert len(command_lines) >= 7
    assert [line for line in command_lines if any(secret in line for secret in secrets)] == []
    assert lines_with_secret(stack, secrets) == []
    assert len(lines_with_secret(stack, ("MainProcess",))) > 100  # the logs were there to be searched

    codes, seconds = end(*workers, *beats, flower)
    assert codes == {0}, stack.logs()
    assert seconds < 15
    assert lines_with_secret(stack, secrets) == []


def test_a_stopped_beat_is_found_unhealthy(stack: Nightread) -> None:
    beat = start(stack, "beat")
    eventually(lambda: healthy(stack, "beat"), what="beat is healthy")

    def written() -> float:
        # One file or several, as Python's dbm has it on this machine.
        return max(path.stat().st_mtime for path in stack.home.glob("beat-schedule*"))

    # It is written at each tick: one that stands still tells of a beat that does.
    first = written()
    eventually(lambda: written() > first, 10, "the schedule is written again")
    end(beat)
    for path in stack.home.glob("beat-schedule*"):
        os.utime(path, (first - 150, first - 150))
    assert not healthy(stack, "beat")


def test_two_beats_in_one_folder_leave_each_other_alone(stack: Nightread) -> None:
    def ticks() -> list[int]:
        return [
            path.read_text().count("Sending due task reconcile") for path in stack.home.glob("beat.*.log")
        ]

    first = start(stack, "beat")
    eventually(lambda: ticks()[0] >= 1, what="the first beat ticks")
    second = start(stack, "beat")
    eventually(lambda: min(ticks()) >= 2, what="both beats tick")
    # Each has a schedule of its own: in one file they would take each other's writing for damage.
    assert list(stack.home.glob("beat-schedule*"))
    assert list(stack.home.glob("nightread-beat-*/beat-schedule*"))
    assert end(first, second)[0] == {0}
    logs = [path.read_text() for path in stack.home.glob("beat.*.log")]
    assert not any("corrupted" in log or "Traceback" in log for log in logs)
    # The second one's own folder went with it.
    assert list(stack.home.glob("nightread-beat-*")) == []
    assert {path.stem for path in stack.home.glob("beat-schedule*")} == {"beat-schedule"}
