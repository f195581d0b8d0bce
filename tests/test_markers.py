"""What the tests themselves rely on: a marker that cannot rot."""

import subprocess
import sys

import pytest
from support import Nightread


@pytest.mark.parametrize("program", [sys.executable, "redis-server", "/usr/lib/postgresql/18/bin/postgres"])
def test_a_test_without_the_marker_starts_neither_a_command_nor_a_server(program: str) -> None:
    with pytest.raises(pytest.fail.Exception, match="`processes`"):
        subprocess.run([program, "--version"], check=True)


def test_a_test_without_the_marker_uses_no_server_that_another_one_has_started() -> None:
    # What the fixtures of databases and queues tell before they touch a server.
    with pytest.raises(pytest.fail.Exception, match="`processes`"):
        sys.audit("nightread.process", "postgres")


def test_what_starts_commands_is_marked_by_the_fixtures_it_uses(
    nightread: Nightread, request: pytest.FixtureRequest
) -> None:
    assert nightread.run("--help").returncode == 0
    assert request.node.get_closest_marker("processes")
