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


def test_a_database_that_is_read_only_for_a_while_is_waited_for(
    cluster: Nightread, postgresql_server: str, tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path / "manifest.csv", IMAGES)
    order = ("--images", tmp_path, "--model", "stub", "--batch-size", "4")
    assert cluster.call("submit", manifest, *order).returncode == 0
    resumed = cluster.start("resume", "1")
    said = cluster.home / "resume.0.log"
    try:
        read_only(postgresql_server, "on")
        eventually(lambda: "the database cannot go on now" in said.read_text(), 30)
    finally:
        read_only(postgresql_server, "off")
    cluster.start("worker", "--model", "stub", "--children", "1")
    assert cluster.ends(resumed, 120) == 0, cluster.logs()
    assert "read-only transaction" in said.read_text()
    assert "Traceback" not in said.read_text()
    assert queries.progress(cluster.database(), 1).scored == IMAGES
