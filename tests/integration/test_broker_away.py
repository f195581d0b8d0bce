"""The broker is full, a replica, or asks for another password: all wait, say why, and go on by themselves."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis
from service import Service
from support import Nightread, QueueServer, eventually, write_manifest

from db import queries

IMAGES = 40

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


def full(server: Redis) -> None:
    server.config_set("maxmemory", "1")


def emptied(server: Redis) -> None:
    server.config_set("maxmemory", "0")


def replica(server: Redis) -> None:
    server.replicaof("127.0.0.1", "1")


def promoted(server: Redis) -> None:
    server.config_set("replica-serve-stale-data", "yes")
    server.replicaof("NO", "ONE")


def cut_off_replica(server: Redis) -> None:
    server.config_set("replica-serve-stale-data", "no")
    replica(server)


def locked(server: Redis) -> None:
    server.config_set("requirepass", "another")
    server.client_kill_filter(_type="normal", skipme=True)


def unlocked(server: Redis) -> None:
    server.config_set("requirepass", "throw-away")


FAULTS = {
    "OOM": (full, emptied, "command not allowed when used memory > 'maxmemory'"),
    "READONLY": (replica, promoted, "write against a read only replica"),
    "MASTERDOWN": (cut_off_replica, promoted, "Link with MASTER is down"),
    "WRONGPASS": (locked, unlocked, "invalid username-password pair"),
}


@pytest.fixture
def server(queue_server: QueueServer) -> Iterator[Redis]:
    """A connection that stays, to a server that is mended at the end."""
    with queue_server.client() as client:
        client.ping()
        yield client
        for _, mend, _ in FAULTS.values():
            mend(client)


Change = Callable[[Redis], None]


@pytest.mark.parametrize(("harm", "mend", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_broker_that_takes_nothing_is_waited_for(
    cluster: Nightread, server: Redis, tmp_path: Path, harm: Change, mend: Change, reason: str
) -> None:
    manifest = write_manifest(tmp_path / "manifest.csv", IMAGES)
    order = (manifest, "--images", tmp_path, "--model", "stub", "--batch-size", "1")
    worker = Service(lambda: cluster.start("worker", "--model", "stub", "--children", "1"))
    beat = cluster.start("beat")
    worked = cluster.home / "worker.0.log"
    eventually(lambda: "celery@" in worked.read_text() or "ready." in worked.read_text(), 60, "it is ready")

    # At work, and at the start of each.
    harm(server)
    scored = cluster.start("score", *order)
    said = cluster.home / f"score.{len(cluster.started) - 1}.log"
    eventually(lambda: reason in said.read_text(), 60, "score says what it waits for")
    submitted = cluster.run("submit", *order)
    assert submitted.returncode == 0, submitted.stderr
    assert "committed, but not yet announced" in submitted.stderr
    worker.process.kill()
    eventually(lambda: len(cluster.started) > 3 and worker.state == "active", 60, "it is started again")
    late = cluster.home / f"worker.{len(cluster.started) - 1}.log"
    eventually(lambda: reason in late.read_text(), 60, "the worker says what it waits for")
    mend(server)

    assert cluster.ends(scored, 120) == 0, cluster.logs()
    resumed = cluster.start("resume", "2")
    assert cluster.ends(resumed, 120) == 0, cluster.logs()
    worker.stop()
    assert worker.state == "active", (worker.codes, cluster.logs())
    assert 2 not in worker.codes
    assert beat.poll() is None, cluster.logs()
    for progress in queries.all_progress(cluster.database()):
        assert (progress.status, progress.scored, progress.failed) == ("complete", IMAGES, 0)
    assert said.read_text().count("waiting: ") == 1, "it says it once"
    for log in (said, late, cluster.home / "beat.1.log"):
        assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("stopped", [False, True], ids=["full", "stopped"])
def test_what_a_broker_did_not_take_is_sent_when_it_is_back_and_not_after_a_lease(
    cluster: Nightread, server: Redis, queue_server: QueueServer, tmp_path: Path, stopped: bool
) -> None:
    cluster.environment["NIGHTREAD_LEASE_SECONDS"] = "3600"
    manifest = write_manifest(tmp_path / "manifest.csv", IMAGES)
    if stopped:
        queue_server.kill()
    else:
        full(server)
    submitted = cluster.run("submit", manifest, "--images", tmp_path, "--model", "stub", "--batch-size", "1")
    assert "committed, but not yet announced" in submitted.stderr
    if stopped:
        queue_server.start()
    else:
        emptied(server)
    cluster.start("worker", "--model", "stub", "--children", "1")
    resumed = cluster.run("resume", "1", timeout=180)
    assert resumed.returncode == 0, resumed.stderr + cluster.logs()
    assert queries.progress(cluster.database(), 1).scored == IMAGES
