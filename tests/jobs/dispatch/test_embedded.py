"""What a command says where its private server does not come up; one that ends at once stands in for it."""

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn

import pytest
from redis import Redis
from support import eventually

from config.errors import ConfigError
from config.settings import Settings
from jobs.dispatch import embedded
from jobs.dispatch.embedded import EmbeddedAwayError, EmbeddedError, EmbeddedStack


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddedStack:
    program = shutil.which("false")
    assert program is not None
    monkeypatch.setattr(embedded, "get_binary_path", lambda: program)
    monkeypatch.setattr(embedded, "_START_SECONDS", 0.05)
    return EmbeddedStack(Settings(home=tmp_path))


def test_a_server_that_does_not_answer_is_told_with_its_log(stack: EmbeddedStack, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedAwayError, match="does not answer") as caught, stack:
        stack.start("stub")
    assert str(tmp_path / "logs" / "valkey.log") in str(caught.value)


def test_an_error_of_ours_is_not_taken_for_a_server_that_does_not_answer(
    stack: EmbeddedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(_client: Redis) -> NoReturn:
        raise TypeError

    monkeypatch.setattr(Redis, "ping", wrong)
    with pytest.raises(TypeError), stack:
        stack.start("stub")


def test_two_commands_do_not_share_a_home(stack: EmbeddedStack, tmp_path: Path) -> None:
    first = EmbeddedStack(Settings(home=tmp_path))
    with first, pytest.raises(EmbeddedAwayError, match="another nightread is scoring"), stack:
        pass


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    stack = EmbeddedStack(Settings(home=tmp_path / "file" / "home"))
    with pytest.raises(ConfigError, match=f"{tmp_path}/file/home cannot be made: Not a directory"), stack:
        pass


@pytest.mark.processes
@pytest.mark.parametrize(("within", "given_up"), [(3600.0, True), (0.0, False)])
def test_only_a_worker_that_ends_again_and_again_within_a_short_time_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, within: float, given_up: bool
) -> None:
    monkeypatch.setattr(embedded, "own_command", lambda *_: ["false"])
    monkeypatch.setattr(embedded, "_RESTARTS", 2)
    monkeypatch.setattr(embedded, "_RESTARTS_SECONDS", within)

    def watch_five_ends(stack: EmbeddedStack) -> None:
        for _ in range(5):
            eventually(lambda: stack._worker is not None and stack._worker.poll() is not None)
            stack.watch()

    with EmbeddedStack(Settings(home=tmp_path)) as stack:
        stack.start("stub")
        with pytest.raises(EmbeddedError, match="does not run") if given_up else nullcontext():
            watch_five_ends(stack)
