"""Connections are cut at COMMIT; nothing happens twice, and no image fails for it."""

from pathlib import Path

import psycopg
import pytest
from proxy import CommitCutter
from support import Nightread, eventually, write_manifest

from db import queries

IMAGES = 40

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


def test_commits_whose_answer_is_lost_are_seen_to_have_happened(cluster: Nightread, tmp_path: Path) -> None:
    database = cluster.database()
    manifest = write_manifest(tmp_path / "manifest.csv", IMAGES)
    order = ("submit", manifest, "--images", tmp_path, "--model", "stub", "--batch-size", "1")
    with CommitCutter(cluster.environment["NIGHTREAD_DATABASE_URL"], share=0.3, seed=7) as proxy:
        cluster.environment["NIGHTREAD_DATABASE_URL"] = proxy.url
        cluster.start("worker", "--model", "stub", "--children", "2")
        for _ in range(3):
            submitted = cluster.call(*order)
            assert submitted.returncode == 0, submitted.stderr
        resumed = cluster.start("resume", "1")
        assert cluster.ends(resumed, 240) == 0, cluster.logs()
        cuts = proxy.cuts

    assert min(cuts.values()) > 10, cuts
    runs = queries.all_progress(database)
    assert len(runs) == 3, "each order is one run"
    assert (runs[-1].status, runs[-1].scored, runs[-1].failed) == ("complete", IMAGES, 0)
    assert "the lease was lost" not in (cluster.home / "worker.0.log").read_text()


def read_only(server: str, value: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}".encode())
        connection.execute("SELECT pg_reload_conf()")


@pytest.mark.parametrize("when", ["at work", "before it begins"])
def test_a_database_that_is_read_only_for_a_while_is_waited_for(
    cluster: Nightread, postgresql_server: str, tmp_path: Path, when: str
) -> None:
    manifest = write_manifest(tmp_path / "manifest.csv", IMAGES)
    order = ("--images", tmp_path, "--model", "stub", "--batch-size", "4")
    assert cluster.call("submit", manifest, *order).returncode == 0
    log = cluster.home / "resume.0.log"
    try:
        if when == "at work":
            resumed = cluster.start("resume", "1")
            eventually(lambda: "waiting for a worker" in log.read_text(), 60)
        read_only(postgresql_server, "on")
        if when != "at work":
            resumed = cluster.start("resume", "1")
        eventually(lambda: "waiting: the database cannot go on now" in log.read_text(), 60)
        assert "run 1: waiting: the database cannot go on now: " in cluster.call("status").stderr
    finally:
        read_only(postgresql_server, "off")
    cluster.start("worker", "--model", "stub", "--children", "1")
    assert cluster.ends(resumed, 120) == 0, cluster.logs()
    said = log.read_text()
    assert said.count("read-only transaction") == 1, said
    assert "Traceback" not in said
    assert "WARNING" not in said, "a line for a person is no log's"
    assert queries.progress(cluster.database(), 1).scored == IMAGES
