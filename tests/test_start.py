"""The command in a folder whose files have our packages' names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, Nightread, write_manifest

pytestmark = pytest.mark.processes


def start(folder: Path, *arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    """Start the command as its script does, in a folder, with this PYTHONPATH."""
    code = f"import sys; sys.path.append({str(ROOT)!r}); from nightread import main; main()"
    return subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "NIGHTREAD_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["workers", "config", "jobs", "db"])
def test_a_file_that_hides_a_package_is_named_with_the_way_out(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("raise SystemExit('theirs')", encoding="utf-8")
    refused = start(tmp_path, "status", path=str(tmp_path))
    assert (refused.returncode, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path / name}.py hides Nightread's own '{name}'")
    assert "env -u PYTHONPATH" in line


def test_a_folder_without_such_files_does_no_harm(tmp_path: Path) -> None:
    done = start(tmp_path, "--version", path=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("nightread ")


def test_workers_do_not_load_what_lies_in_the_folder_of_the_call(
    nightread: Nightread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write_manifest(tmp_path / "manifest.csv", 3)
    (tmp_path / "workers.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            str(ROOT / "nightread.py"),
            "score",
            manifest,
            "--images",
            tmp_path,
            "--model",
            "stub",
        ],
        env=os.environ | {"NIGHTREAD_HOME": str(nightread.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
