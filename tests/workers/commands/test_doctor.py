"""`nightread doctor` as an operator calls it: lines, JSON, exit codes."""

import json
import resource
from pathlib import Path

import pytest
from support import Nightread, free_port, write_manifest

from jobs.doctor import limits


@pytest.mark.cold
def test_a_machine_that_is_ready_has_no_fault_and_is_left_as_it_was(
    nightread: Nightread, tmp_path: Path
) -> None:
    done = nightread.call("doctor", "--quick", "--images", tmp_path, "--count", "100")
    assert done.returncode == 0, done.stdout + done.stderr
    states = [line.split()[0] for line in done.stdout.splitlines()]
    assert set(states) <= {"ok", "warning"}  # the disk of the test's folder may be a container's
    assert [path.name for path in nightread.home.iterdir()] == ["models"]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A folder with a manifest of 150 images and all of them, of which nothing reads the content."""
    for number in range(150):
        (tmp_path / f"{number:08d}_000.png").touch()
    return write_manifest(tmp_path / "manifest.csv", 150)


def about(nightread: Nightread, manifest: Path, name: str) -> dict[str, str]:
    """The line of a name that `doctor` has of a manifest with the folder that it lies in."""
    done = nightread.call("doctor", manifest, "--quick", "--images", manifest.parent, "--json")
    (found,) = [verdict for verdict in json.loads(done.stdout) if verdict["name"] == name]
    assert (done.returncode == 1) == (found["state"] == "fault"), done.stdout
    return {**found}


def test_a_manifest_is_read_counted_and_its_images_are_looked_up(nightread: Nightread, archive: Path) -> None:
    assert "has 150 images" in about(nightread, archive, "manifest")["seen"]
    assert "; 150 images need about" in about(nightread, archive, "disk space")["seen"]
    whole = about(nightread, archive, "images")
    assert (whole["state"], "all 150 images are there" in whole["seen"]) == ("ok", True)
    (archive.parent / "00000007_000.png").unlink()
    one = about(nightread, archive, "images")
    assert (one["state"], "1 of 150 images are not below" in one["seen"]) == ("warning", True)
    (archive.parent / "00000009_000.png").unlink()
    two = about(nightread, archive, "images")
    assert (two["state"], "'00000007_000.png', '00000009_000.png'" in two["seen"]) == ("fault", True)
    assert "--max-missing" in two["advice"]


def test_a_manifest_that_cannot_be_read_says_where(nightread: Nightread, archive: Path) -> None:
    archive.write_text(archive.read_text("utf-8").replace(",21,", ",x,"), "utf-8")
    found = about(nightread, archive, "manifest")
    assert found["state"] == "fault"
    assert "line 3, column 'Patient Age'" in found["seen"]
    assert found["advice"]


def test_a_manifest_needs_its_folder_and_no_count(nightread: Nightread, archive: Path) -> None:
    alone = nightread.call("doctor", archive)
    assert (alone.returncode, "--images" in alone.stderr) == (2, True)
    counted = nightread.call("doctor", archive, "--images", archive.parent, "--count", "3")
    assert (counted.returncode, "--count" in counted.stderr) == (2, True)
    gone = nightread.call("doctor", archive, "--images", archive.parent / "gone", "--quick", "--json")
    states = {verdict["name"]: verdict["state"] for verdict in json.loads(gone.stdout)}
    assert (states["manifest"], states["images"]) == ("unasked", "fault")


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
