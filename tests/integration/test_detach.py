"""A closed terminal: `score` leaves a run to resume, `score --detach` goes on to its end."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support import COMMAND, STUB_CARD, Nightread, eventually, write_card, write_manifest

from db import queries
from db.errors import DatabaseError

pytestmark = pytest.mark.processes

IMAGES = 300
"""In batches of two: enough that none of these runs ends before its terminal is closed."""


_IN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A terminal in which one command runs, as the leader of its session."""

    def __init__(self, nightread: Nightread, *arguments: str | Path) -> None:
        self._ours, theirs = os.openpty()
        environment = os.environ | {"NIGHTREAD_HOME": str(nightread.home)} | nightread.environment
        self.process = subprocess.Popen(
            [sys.executable, "-c", _IN_TERMINAL, sys.executable, "-m", COMMAND, *map(str, arguments)],
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        nightread.started.append(self.process)

    def read(self) -> str:
        """Read until the command and all that holds the terminal have ended."""
        said = b""
        try:
            while data := os.read(self._ours, 4096):
                said += data
        except OSError:  # EIO: nobody has it open
            pass
        return said.decode()

    def close(self) -> None:
        """Close it: the kernel sends SIGHUP."""
        os.close(self._ours)


@pytest.fixture
def order(nightread: Nightread, tmp_path: Path) -> Iterator[list[str | Path]]:
    write_card(nightread.home / "models", STUB_CARD)
    manifest = write_manifest(tmp_path / "manifest.csv", IMAGES)
    yield ["score", manifest, "--images", tmp_path, "--model", "stub", "--batch-size", "2"]
    for process in psutil.process_iter(["cmdline"]):  # of a failed test
        if str(manifest) in (process.info["cmdline"] or ()):
            process.kill()


def detached(order: list[str | Path]) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(order[1]) in (process.info["cmdline"] or ()) and process.status() != psutil.STATUS_ZOMBIE
    ]


def scored(nightread: Nightread) -> int:
    try:
        return queries.progress(nightread.database(), 1).scored
    except DatabaseError:
        return 0


def test_without_detach_a_closed_terminal_leaves_a_run_that_can_be_resumed(
    nightread: Nightread, order: list[str | Path]
) -> None:
    terminal = Terminal(nightread, *order)
    eventually(lambda: scored(nightread) > 10, 60)
    terminal.close()
    assert terminal.process.wait(60) == 1
    assert "nightread resume 1" in (nightread.home / "logs" / "stopped.log").read_text()
    progress = queries.progress(nightread.database(), 1)
    assert (progress.status, progress.pending > 0) == ("running", True)
    resumed = nightread.run("resume", "1")
    assert resumed.returncode == 0, resumed.stderr
    assert queries.progress(nightread.database(), 1).scored == IMAGES


def test_a_detached_run_goes_on_after_its_terminal_is_closed(
    nightread: Nightread, order: list[str | Path]
) -> None:
    terminal = Terminal(nightread, *order, "--detach")
    assert terminal.process.wait(60) == 0
    said = terminal.read()
    assert all(f"nightread {then}" in said for then in ("status 1 --follow", "cancel 1"))
    terminal.close()
    assert scored(nightread) < IMAGES
    watched = nightread.run("status", "1", "--follow", "--json")
    assert watched.returncode == 0, watched.stderr
    assert '"status": "complete"' in watched.stdout
    _, alive = psutil.wait_procs(detached(order), timeout=60)
    assert alive == []
    log = (nightread.home / "logs" / "run-1.log").read_text()
    assert f"run 1: {IMAGES} of {IMAGES} images scored, 0 failed" in log
    assert "\x1b" not in log


def test_cancel_ends_a_detached_run_with_its_servers(nightread: Nightread, order: list[str | Path]) -> None:
    done = nightread.run(*order, "--detach")
    assert done.returncode == 0, done.stderr
    (leader,) = detached(order)
    family = [leader, *leader.children(recursive=True)]
    assert len(family) > 2
    refused = nightread.run(*order, "--detach")
    assert refused.returncode == 1
    assert "another nightread is scoring" in refused.stderr
    assert nightread.run("cancel", "1").returncode == 0
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []
    assert "run 1 is cancelled" in (nightread.home / "logs" / "run-1.log").read_text()


def test_what_keeps_a_detached_run_from_beginning_is_said(
    nightread: Nightread, order: list[str | Path]
) -> None:
    (nightread.home / "logs").mkdir(parents=True)
    (nightread.home / "logs" / "valkey.log").mkdir()
    done = nightread.run(*order, "--detach")
    assert done.returncode != 0
    assert "valkey.log" in done.stderr
    assert detached(order) == []
