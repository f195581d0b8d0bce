"""`nightread doctor` as an operator calls it: lines, JSON, exit codes."""

import json
import resource
from pathlib import Path

import pytest
from support import Nightread, free_port, write_manifest

from jobs.doctor import limits


def test_a_machine_that_is_ready_has_no_fault_and_is_left_as_it_was(
    nightread: Nightread, tmp_path: Path
) -> None:
    done = nightread.call("doctor", "--quick", "--images", tmp_path, "--count", "100")
    assert done.returncode == 0, done.stdout + done.stderr
    states = [line.split()[0] for line in done.stdout.splitlines()]
    assert set(states) <= {"ok", "warning"}  # the disk of the test's folder may be a container's
    assert [path.name for path in nightread.home.iterdir()] == ["models"]


def test_each_fault_is_a_line_with_what_to_do_and_the_exit_code_is_1(
    nightread: Nightread, tmp_path: Path
) -> None:
    nightread.environment["NIGHTREAD_DATABASE_URL"] = f"postgresql://me:secret@127.0.0.1:{free_port()}/none"
    nightread.environment["NIGHTREAD_BROKER_URL"] = f"redis://:secret@127.0.0.1:{free_port()}/0"
    done = nightread.call("doctor", "--quick", "--images", tmp_path / "gone", "--count", str(10**12))
    assert done.returncode == 1
    faults = {
        line.partition(":")[0].removeprefix("fault").strip(): line
        for line in done.stdout.splitlines()
        if line.startswith("fault")
    }
    assert set(faults) == {"disk space", "images", "database", "broker"}
    assert all("; to do: " in line for line in faults.values())
    assert "secret" not in done.stdout + done.stderr


def test_json_has_the_same_and_the_same_exit_code(nightread: Nightread, tmp_path: Path) -> None:
    done = nightread.call("doctor", "--quick", "--images", tmp_path / "gone", "--json")
    assert done.returncode == 1
    found = {verdict["name"]: verdict for verdict in json.loads(done.stdout)}
    assert found["images"]["state"] == "fault"
    assert set(found["images"]) == {"name", "state", "seen", "advice"}
    assert found["database"]["state"] == "ok"


def test_what_the_system_does_not_let_ask_is_said_and_keeps_no_other_line(
    nightread: Nightread, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(limits, "MEMINFO", tmp_path / "gone")
    done = nightread.call("doctor", "--quick", "--json")
    found = {verdict["name"]: verdict for verdict in json.loads(done.stdout)}
    assert found["memory"]["state"] == "unasked"
    assert "cannot be asked" in found["memory"]["seen"]
    assert found["broker"]["state"] == "ok"


def test_score_says_itself_what_can_be_asked_at_once(nightread: Nightread, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "manifest.csv", 4)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        done = nightread.run("score", manifest, "--images", tmp_path, "--model", "stub")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert done.returncode == 0, done.stderr
    assert "descriptors: a process may have 512 files open; to do: raise it to 1,024" in done.stderr
    assert "home:" not in done.stderr
