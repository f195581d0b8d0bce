"""What the tests themselves rely on: commands that are forked."""

import subprocess

import pytest
from support import Nightread


@pytest.mark.parametrize("arguments", [("status",), ("status", "7"), ("nonsense",), ("sql", "SELECT 1")])
def test_a_forked_command_ends_and_writes_as_one_that_is_started_alone(
    nightread: Nightread, arguments: tuple[str, ...]
) -> None:
    nightread.environment["NIGHTREAD_LOG_LEVEL"] = "DEBUG"
    forked, alone = nightread.run(*arguments), nightread.run_alone(*arguments)
    assert forked.returncode == alone.returncode
    assert forked.stdout == alone.stdout
    assert forked.stderr == alone.stderr.replace("python -m workers.commands.main", "nightread")


def test_a_command_that_takes_too_long_is_killed(nightread: Nightread) -> None:
    nightread.run("status")  # makes the database
    with pytest.raises(subprocess.TimeoutExpired):
        nightread.run("status", timeout=0.001)
    assert nightread.run("status").returncode == 0
