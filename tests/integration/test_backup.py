"""Backups made under load are restored elsewhere, and old databases upgraded within a run."""

import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import psycopg
import pytest
from alembic import command
from alembic.config import Config
from fakes import stub_scorer
from numpy.typing import NDArray
from sqlalchemy import MetaData, insert, select, text, update
from support import (
    CLASSIFIER_CARD,
    STUB_CARD,
    Nightread,
    QueueServer,
    eventually,
    make_run,
    write_card,
    write_manifest,
)

import db.upgrade
from config.cards.classification import ClassificationCard
from db import ledger, queries
from db.database import Database
from db.errors import DatabaseError
from db.schema import metadata
from db.schema.runs import batch
from db.upgrade import HEAD, upgrade, version
from workers.inference.engine import Inference
from workers.inference.ensemble import Ensemble
from workers.outputs.overlays import Overlays
from workers.scoring.classification import ClassificationScorer

IMAGES = 600

SOON = {"NIGHTREAD_LEASE_SECONDS": "5"}
"""What a killed worker held, and what was announced to a lost queue, is taken up after this, not a minute."""

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


def scored(database: Database) -> int:
    try:
        return queries.progress(database, 1).scored
    except DatabaseError:
        return 0  # it has no run yet


def require_whole(database: Database, images: int = IMAGES) -> None:
    """Fail unless run 1 is complete and each of its images has its 14 scores once."""
    progress = queries.progress(database, 1)
    assert (progress.status, progress.scored, progress.failed) == ("complete", images, 0)
    with database.read() as connection:
        counted = text("SELECT count(*), count(DISTINCT image_index) FROM scores WHERE run_id = 1")
        assert tuple(connection.execute(counted).one()) == (images * 14, images)
        assert connection.execute(text("SELECT count(*) FROM evaluation")).scalar() == 1
        open_ = text("SELECT count(*) FROM batch WHERE state NOT IN ('done', 'split')")
        assert connection.execute(open_).scalar() == 0


def client(program: str, url: str, *arguments: str) -> None:
    """Run a client program of PostgreSQL, the server's own: one of an earlier version would refuse."""
    with psycopg.connect(url) as connection:
        (folder,) = connection.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'").fetchall()
    done = subprocess.run(
        [Path(folder[0]) / program, "--dbname", url, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_dump_of_postgresql_under_load_is_restored_elsewhere_and_resumed(
    cluster: Nightread, postgresql_url: str, queue_server: QueueServer, tmp_path: Path
) -> None:
    original = cluster.database()
    source = cluster.environment["NIGHTREAD_DATABASE_URL"]
    manifest = write_manifest(tmp_path / "manifest.csv", IMAGES)
    order = ("--images", tmp_path, "--model", "stub", "--batch-size", "2")
    assert cluster.call("submit", manifest, *order).returncode == 0
    worker = cluster.start("worker", "--model", "stub", "--children", "2")
    eventually(lambda: scored(original) > 20, 60, "batches are done")
    dump = tmp_path / "nightread.dump"
    client("pg_dump", source, "--format", "custom", "--file", str(dump))
    at_dump = scored(original)
    assert at_dump < IMAGES, "the dump was made under load"
    eventually(lambda: scored(original) > at_dump, 60, "the run goes on meanwhile")
    worker.kill()  # the machine is lost, and the queue with it
    cluster.end()
    with queue_server.client() as queue:
        queue.flushall()

    client("pg_restore", postgresql_url, "--no-owner", "--exit-on-error", str(dump))
    cluster.environment["NIGHTREAD_DATABASE_URL"] = postgresql_url
    restored = cluster.database()
    assert 0 < scored(restored) <= at_dump
    cluster.start("worker", "--model", "stub", "--children", "2")
    assert cluster.ends(cluster.start("resume", "1"), 200) == 0, cluster.logs()
    require_whole(restored)
    # Its numbers go on where they were: a next run collides with none.
    assert cluster.call("submit", manifest, *order).stdout.strip() == "2"


@pytest.mark.parametrize("way", [".backup", "VACUUM INTO"])
def test_a_backup_of_sqlite_under_load_is_restored_elsewhere_and_resumed(
    nightread: Nightread, tmp_path: Path, way: str
) -> None:
    manifest = write_manifest(tmp_path / "manifest.csv", IMAGES)
    order = ("--images", tmp_path, "--model", "stub", "--batch-size", "2")
    nightread.environment |= SOON
    run = nightread.start("score", manifest, *order)
    original = nightread.database()
    eventually(nightread.settings().database_file.is_file, 60)
    eventually(lambda: scored(original) > 20, 120, "batches are done")
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(nightread.settings().database_file, timeout=30)) as source:
        if way == ".backup":
            with closing(sqlite3.connect(copy)) as target:
                source.backup(target)
        else:
            source.execute("VACUUM INTO ?", [str(copy)])
    assert scored(original) < IMAGES, "the backup was made under load"
    run.kill()
    nightread.end()

    elsewhere = Nightread(tmp_path / "elsewhere", SOON, nightread.started)
    write_card(elsewhere.home / "models", STUB_CARD)
    shutil.copy(copy, elsewhere.settings().database_file)
    restored = elsewhere.database()
    assert 0 < scored(restored) < IMAGES
    assert elsewhere.ends(elsewhere.start("resume", "1"), 200) == 0, elsewhere.logs()
    require_whole(restored)
    restored.dispose()


def test_a_plain_copy_of_an_open_sqlite_file_lacks_what_has_been_committed(
    sqlite: Database, tmp_path: Path
) -> None:
    make_run(sqlite, tmp_path, 8)
    file = sqlite.engine.url.database
    assert file is not None
    assert Path(f"{file}-wal").stat().st_size > 0
    copy = Path(shutil.copy(file, tmp_path / "copy.db"))
    with closing(sqlite3.connect(copy)) as copied:
        assert copied.execute("SELECT count(*) FROM run").fetchone() == (0,)


class FlatEngine:
    """Finds everything everywhere, so that each picture has an overlay for each finding."""

    batch = 4
    name = "flat"

    def infer(self, inputs: NDArray[np.float32]) -> Inference:
        findings = len(CLASSIFIER_CARD["findings"])
        return Inference(
            np.full((len(inputs), findings), 0.9, dtype=np.float32),
            np.ones((len(inputs), 10, 10, findings), dtype=np.float32),
            np.zeros((len(inputs), 4), dtype=np.float32),
        )


def test_overlays_newer_than_the_backup_are_written_over(sqlite: Database, tmp_path: Path) -> None:
    make_run(sqlite, tmp_path, 4, batch_size=4)
    for number in range(4):
        assert cv2.imwrite(str(tmp_path / f"{number:08d}_000.png"), np.eye(64, dtype=np.uint8) * 255)
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(str(sqlite.engine.url.database))) as source:
        source.execute("VACUUM INTO ?", [str(copy)])
    restored = Database(f"sqlite:///{copy}")
    drawn = []
    for opened in (sqlite, restored):
        card = ClassificationCard.model_validate(CLASSIFIER_CARD)
        scorer = ClassificationScorer(
            card,
            Ensemble.alone(card, FlatEngine()),
            overlays=Overlays(tmp_path / "heatmaps"),
            max_pixels=10_000,
        )
        (announced,) = ledger.take_pending(opened, 1)
        held = ledger.claim(opened, announced.batch_id, "worker", 60.0)
        assert held is not None
        assert ledger.complete(opened, held, scorer.score(held))
        with opened.read() as connection:
            named = connection.execute(text("SELECT overlay_path FROM score")).scalars().all()
        drawn.append({path for path in (tmp_path / "heatmaps").rglob("*") if path.is_file()})
        assert {tmp_path / "heatmaps" / path for path in named} == drawn[-1]
    assert drawn[0] == drawn[1], "nothing is doubled, and nothing is left over"
    restored.dispose()


# --- upgrades ----------------------------------------------------------------------------------------------

OLD = "0002"
"""The newest migration of version 0.1.0."""


def make_old(database: Database, source: Database) -> None:
    """Make 0.1.0's tables, and copy into them what they can hold of another database."""
    with database.write() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(db.upgrade.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, OLD)
        there = MetaData()
        there.reflect(connection)
        for table in there.sorted_tables:
            if table.name not in metadata.tables:
                continue
            today = metadata.tables[table.name]
            columns = [today.c[column.name] for column in table.columns if column.name in today.c]
            with source.read() as reading:
                rows = [dict(row) for row in reading.execute(select(*columns)).mappings()]
            keys = list(table.primary_key.columns)
            have = {tuple(row) for row in connection.execute(select(*keys))}
            new = [row for row in rows if tuple(row[key.name] for key in keys) not in have]
            if new:
                connection.execute(insert(table), new)
                if database.dialect == "postgresql" and "id" in table.c:
                    sequence = f"pg_get_serial_sequence('{table.name}', 'id')"
                    connection.execute(
                        text(f'SELECT setval({sequence}, (SELECT max(id) FROM "{table.name}"))')
                    )


def run_of_old(database: Database, source: Database, folder: Path) -> None:
    """Leave a run in the middle in 0.1.0's tables: batches done, in dead hands, sent, and waiting."""
    make_run(source, folder, IMAGES, batch_size=4)
    for announced in ledger.take_pending(source, 40):
        held = ledger.claim(source, announced.batch_id, "worker", 60.0)
        assert held is not None
        if announced.batch_id > 30:
            continue  # its worker was stopped for the upgrade
        outcomes = stub_scorer(folder / "models", held.model).score(held)
        assert ledger.complete(source, held, outcomes)
    ledger.take_pending(source, 20)
    with source.write() as connection:
        connection.execute(update(batch).values(lease_expires_at=1.0).where(batch.c.state == "running"))
    make_old(database, source)
    assert version(database) == OLD


def test_a_run_of_0_1_0_goes_on_after_the_upgrade_of_sqlite(
    nightread: Nightread, sqlite: Database, tmp_path: Path
) -> None:
    nightread.environment |= SOON
    old = nightread.database()
    run_of_old(old, sqlite, tmp_path)
    assert nightread.ends(nightread.start("resume", "1"), 200) == 0, nightread.logs()
    assert version(old) == HEAD
    require_whole(old)


def test_a_run_of_0_1_0_goes_on_after_the_upgrade_of_postgresql(
    cluster: Nightread, postgresql_url: str, sqlite: Database, tmp_path: Path
) -> None:
    cluster.environment["NIGHTREAD_DATABASE_URL"] = postgresql_url
    old = cluster.database()
    run_of_old(old, sqlite, tmp_path)
    refused = cluster.run("worker", "--model", "stub")
    assert refused.returncode == 2
    assert f"is at migration {OLD}, this version needs {HEAD}; run: nightread db upgrade" in refused.stderr
    assert cluster.call("db", "upgrade").returncode == 0
    cluster.start("worker", "--model", "stub", "--children", "2")
    assert cluster.ends(cluster.start("resume", "1"), 200) == 0, cluster.logs()
    require_whole(old)


def test_a_worker_under_which_the_database_is_upgraded_goes_on_and_no_other_starts(
    cluster: Nightread, tmp_path: Path
) -> None:
    database = cluster.database()
    manifest = write_manifest(tmp_path / "manifest.csv", IMAGES)
    order = ("--images", tmp_path, "--model", "stub", "--batch-size", "4")
    assert cluster.call("submit", manifest, *order).returncode == 0
    cluster.start("worker", "--model", "stub", "--children", "2")
    cluster.start("beat")
    eventually(lambda: scored(database) > 20, 60, "batches are done")
    with psycopg.connect(cluster.environment["NIGHTREAD_DATABASE_URL"], autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert scored(database) < IMAGES
    for refused in (cluster.run("worker", "--model", "stub"), cluster.call("resume", "1")):
        assert refused.returncode == 2
        assert "was made by a newer version of Nightread; install that one" in refused.stderr
    eventually(lambda: queries.progress(database, 1).status == "complete", 200, "the worker goes on")
    require_whole(database)


def test_views_made_anew_under_running_workers_cost_nothing(cluster: Nightread, tmp_path: Path) -> None:
    database = cluster.database()
    manifest = write_manifest(tmp_path / "manifest.csv", IMAGES)
    order = ("--images", tmp_path, "--model", "stub", "--batch-size", "4")
    assert cluster.call("submit", manifest, *order).returncode == 0
    cluster.start("worker", "--model", "stub", "--children", "2")
    resumed = cluster.start("resume", "1")
    eventually(lambda: scored(database) > 20, 60, "batches are done")
    upgrade(database)
    assert scored(database) < IMAGES
    assert cluster.ends(resumed, 200) == 0, cluster.logs()
    require_whole(database)
