"""Processes that read files: results in order, and none of them is left over, however the command ends."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from support import ROOT, eventually

from jobs.errors import AwayError
from jobs.inventory.processes import in_processes

pytestmark = pytest.mark.processes


def test_results_come_in_the_works_order() -> None:
    assert list(in_processes(abs, [*range(-200, 0)], 3)) == [*range(200, 0, -1)]


def test_a_process_that_is_killed_is_said() -> None:
    with pytest.raises(AwayError, match="ended from outside"):
        list(in_processes(os._exit, [9], 2))


def test_an_error_in_a_process_is_raised_here_and_the_others_end() -> None:
    with pytest.raises(ValueError, match="two"):
        list(in_processes(int, ["1", "two", *map(str, range(1000))], 2))
    assert not [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


ENDLESS = """
import time
from jobs.inventory.processes import in_processes

if __name__ == "__main__":
    list(in_processes(time.sleep, [3600, 3600], 2))
"""


def test_no_process_outlives_a_command_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = subprocess.Popen([sys.executable, script], env=environment, stderr=subprocess.DEVNULL)
    try:
        readers = eventually(lambda: begun(command.pid), what="two readers have begun")
        command.kill()
        command.wait()
        eventually(lambda: not any(map(alive, readers)), 20, "its readers have ended")
    finally:
        command.kill()
        command.wait()


def begun(pid: int) -> list[psutil.Process]:
    children = psutil.Process(pid).children(recursive=True)
    readers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    # Two threads: its own, and the one that waits for the command's end.
    return readers if len(readers) == 2 and all(reader.num_threads() >= 2 for reader in readers) else []


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
