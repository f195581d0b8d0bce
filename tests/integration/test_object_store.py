"""A run whose images are in a bucket: the same scores as from disk, and a server's death costs no image."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from object_store import SECRET, Bucket
from support import ROOT, Nightread, eventually, free_port

from db import queries
from db.database import Database, DriverError
from db.errors import DatabaseError
from jobs.phantoms.archive import plan_archive, write_archive

pytestmark = pytest.mark.processes

IMAGES = 28


@dataclass
class FolderServer:
    """benchmarks/object_server.py over a folder of buckets; it can be killed and started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self, latency: float = 0.05) -> None:
        command = [sys.executable, str(ROOT / "benchmarks" / "object_server.py"), str(self.folder)]
        command += ["--port", str(self.port), "--latency", str(latency)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert int(self.process.stdout.readline()) == self.port

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


@pytest.fixture
def served(tmp_path: Path) -> Iterator[FolderServer]:
    write_archive(tmp_path / "buckets" / "films", plan_archive(IMAGES, 7))
    server = FolderServer(tmp_path / "buckets", free_port())
    server.start()
    yield server
    server.kill()


def progress(database: Database) -> queries.Progress | None:
    try:
        return queries.progress(database, 1)
    except (DatabaseError, DriverError):
        return None  # it has no tables or no run yet


@pytest.mark.timeout(900)
def test_a_bucket_gives_the_scores_of_the_disk_and_its_servers_death_costs_no_image(
    nightread: Nightread, served: FolderServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{served.port}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASEEDED")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    nightread.environment |= {"NIGHTREAD_ENGINE": "openvino", "NIGHTREAD_MAX_ATTEMPTS": "1"}
    films = served.folder / "films"
    run = nightread.start(
        *("score", films / "manifest.csv", "--images", "s3://films/images", "--batch-size", "2")
    )
    database = nightread.database()

    def begun() -> bool:
        now = progress(database)
        return now is not None and now.scored >= 2

    def waits() -> str | None:
        now = progress(database)
        return None if now is None else now.waits_for

    eventually(begun, 300, "a batch is done")
    served.kill()
    said = eventually(waits, 120, "the run says what it waits for")
    assert said.startswith("s3://films/images: ")
    assert f"waiting: {said}" in " ".join(nightread.call("status", "1").stderr.split())
    shown = [
        argument for process in psutil.process_iter(["cmdline"]) for argument in process.info["cmdline"] or ()
    ]
    assert not any(SECRET in argument for argument in shown)
    assert run.poll() is None, nightread.logs()
    log = nightread.home / "score.0.log"
    eventually(lambda: f"waiting: {said}" in log.read_text(), 60, "the command says so, too")
    served.start()
    assert nightread.ends(run, 400) == 0, nightread.logs()
    ended = queries.progress(database, 1)
    assert (ended.status, ended.scored, ended.failed, ended.waits_for) == ("complete", IMAGES, 0, None)
    assert log.read_text().count(f"waiting: {said}") == 1, log.read_text()
    assert "Traceback" not in nightread.logs()

    local = nightread.run("score", films / "manifest.csv", "--images", films / "images", timeout=400)
    assert local.returncode == 0, local.stderr
    differing = nightread.sql(
        "SELECT b.image_index, b.finding FROM scores b LEFT JOIN scores a ON a.run_id = 2 AND "
        "a.image_index = b.image_index AND a.finding = b.finding AND a.probability = b.probability "
        "WHERE b.run_id = 1 AND a.run_id IS NULL"
    )
    assert differing == []
    tags = nightread.sql(
        "SELECT run_id, COUNT(DISTINCT tag) AS tags FROM contents GROUP BY run_id ORDER BY 1"
    )
    assert tags == [{"run_id": 1, "tags": IMAGES}, {"run_id": 2, "tags": IMAGES}]

    assert nightread.call("report", "1", "-o", tmp_path / "report.html").returncode == 0
    for path in (*nightread.home.rglob("*"), tmp_path / "report.html"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


def typed() -> list[list[str]]:
    """The commands of docs/object-stores.md, as a person would type them."""
    page = (ROOT / "docs" / "object-stores.md").read_text(encoding="utf-8")
    return [shlex.split(line)[2:] for line in page.splitlines() if line.startswith("$ nightread ")]


@pytest.mark.timeout(900)
def test_every_command_of_the_page_on_object_stores_does_what_it_says(
    nightread: Nightread, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nightread.environment["NIGHTREAD_ENGINE"] = "openvino"
    archive = bucket.server.bucket("hospital-archive")
    manifest = write_archive(tmp_path, plan_archive(IMAGES, 11))
    archive.put_folder(tmp_path / "images", "2024/images")
    archive.put("2024/manifest.csv", manifest.read_bytes())
    commands = typed()
    names = [command[0] for command in commands]
    assert names == [
        *("score", "manifest", "score", "doctor", "status", "sql", "sql"),
        *("schedule", "schedule", "schedule", "evaluate"),
    ]
    for command in commands:
        # What asks needs no process of its own.
        starts = command[0] in {"score", "doctor"}
        done = nightread.run(*command, timeout=400) if starts else nightread.call(*command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert SECRET not in done.stdout + done.stderr
        if command[0] == "score":
            assert f"{IMAGES} of {IMAGES} images scored, 0 failed" in done.stdout
    named = nightread.sql("SELECT manifest FROM progress WHERE run_id = 1")
    assert named == [{"manifest": "s3://hospital-archive/2024/manifest.csv"}]


def test_what_is_wrong_with_a_bucket_is_one_line_and_nothing_is_queued(
    nightread: Nightread, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("Image Index\na.png\n", encoding="utf-8")
    bucket.put("images/a.png", b"x")
    images = f"{bucket.uri}/images"
    wrong: list[tuple[str, dict[str, str], str, int]] = [
        ("s3://no-such-bucket/images", {}, "there is no such bucket", 2),
        (f"{bucket.uri}/image", {}, "there is no object below it", 2),
        (f"s3://key:{SECRET}@{bucket.name}/images", {}, "without credentials", 2),
        (images, {"AWS_ALLOW_HTTP": "false"}, "AWS_ALLOW_HTTP=true", 2),
        (images, {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}, "refuses connections", 1),
    ]
    for root, environment, said, code in wrong:
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            done = nightread.call("submit", manifest, "--images", root)
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        assert said in line
        assert SECRET not in line
        assert done.returncode == code
    assert nightread.sql("SELECT run_id FROM progress") == []
