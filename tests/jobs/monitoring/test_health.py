"""Whether a worker and beat are well, asked as Docker asks: of real ones, with and without their broker."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import psutil
from support import Nightread, QueueServer, eventually, write_manifest


def answer(command: Nightread, *asked: str) -> tuple[int, str]:
    done = command.call("health", *asked)
    return done.returncode, done.stdout + done.stderr


def children_of(pid: int) -> list[psutil.Process]:
    """The processes that a worker has for its batches."""
    return [child for child in psutil.Process(pid).children() if "spawn_main" in " ".join(child.cmdline())]


def test_a_worker_is_alive_before_it_is_ready_and_not_ready_without_its_broker(
    cluster: Nightread, queue_server: QueueServer
) -> None:
    code, said = answer(cluster, "worker", "--timeout", "1")
    assert (code, "does not answer within 1 s" in said) == (1, True)

    worker = cluster.start("worker", "--model", "stub", "--children", "1")
    child = eventually(lambda: children_of(worker.pid), what="the worker has a child")[0]
    child.suspend()
    eventually(lambda: answer(cluster, "worker", "--timeout", "1")[0] == 0, what="the worker answers")
    code, said = answer(cluster, "worker", "--ready")
    assert (code, "1 of its children still load their model" in said) == (1, True)
    child.resume()
    eventually(lambda: answer(cluster, "worker", "--ready")[0] == 0, what="the worker is ready")
    code, said = answer(cluster, "worker")
    assert code == 0
    assert "its children are ready" in said

    queue_server.kill()
    assert answer(cluster, "worker", "--ready")[0] == 1
    code, said = answer(cluster, "worker")
    assert code == 0
    assert "cannot be asked" in said
    queue_server.start()
    worker.send_signal(signal.SIGKILL)
    cluster.ends(worker)
    eventually(lambda: answer(cluster, "worker", "--timeout", "2")[0] == 1, what="the dead worker is found")


def test_a_worker_with_a_name_of_its_own_is_asked_by_that_name(cluster: Nightread) -> None:
    worker = cluster.start("worker", "--model", "stub", "--children", "1", "--name", "night")
    eventually(lambda: answer(cluster, "worker", "--name", "night")[0] == 0, what="the worker answers")
    for name in ("night@%h", f"night@{socket.gethostname()}"):
        assert answer(cluster, "worker", "--name", name)[0] == 0
    assert answer(cluster, "worker", "--timeout", "1")[0] == 1
    assert worker.poll() is None


def test_beat_is_well_while_it_ticks(cluster: Nightread, queue_server: QueueServer) -> None:
    code, said = answer(cluster, "beat")
    assert (code, "beat has not started" in said) == (1, True)
    beat = cluster.start("beat")
    eventually(lambda: answer(cluster, "beat", "--ready")[0] == 0, what="beat ticks")
    queue_server.kill()
    assert answer(cluster, "beat")[0] == 0
    code, said = answer(cluster, "beat", "--ready")
    assert (code, "beat ticks in vain" in said) == (1, True)
    beat.send_signal(signal.SIGKILL)
    cluster.ends(beat)
    for path in cluster.home.glob("beat-schedule*"):
        os.utime(path, (time.time() - 150, time.time() - 150))
    code, said = answer(cluster, "beat")
    assert code == 1
    assert "has not ticked for 150 s" in said


def test_without_a_broker_there_is_nobody_to_ask(nightread: Nightread) -> None:
    assert answer(nightread, "worker")[0] == 2
    assert answer(nightread, "beat")[0] == 2


def test_a_workers_json_lines_carry_run_batch_and_worker(cluster: Nightread, tmp_path: Path) -> None:
    cluster.environment["NIGHTREAD_LOG_FORMAT"] = "json"
    cluster.start("worker", "--model", "stub", "--children", "1")
    manifest = write_manifest(tmp_path / "manifest.csv", 8)
    submitted = cluster.call("submit", manifest, "--images", tmp_path, "--model", "stub", "--batch-size", "4")
    run_id = int(submitted.stdout)
    eventually(lambda: cluster.sql("SELECT 1 FROM progress WHERE status = 'complete'"), what="it is complete")
    log = (cluster.home / "worker.0.log").read_text()
    events = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    done = [event for event in events if event["message"].endswith("attempt 1: done")]
    assert sorted((event["run"], event["batch"]) for event in done) == [(run_id, 1), (run_id, 2)]
    (worker,) = {event["worker"] for event in done}
    assert worker == cluster.sql("SELECT worker FROM batch LIMIT 1")[0]["worker"]
    assert len(events) > 10
