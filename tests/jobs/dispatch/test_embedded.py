"""What a command says where its private server does not come up; one that ends at once stands in for it."""

import shutil
from pathlib import Path
from typing import NoReturn

import pytest
from redis import Redis

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
    with pytest.raises(EmbeddedError, match=f"{tmp_path}/file.* cannot be used: Not a directory"), stack:
        pass
