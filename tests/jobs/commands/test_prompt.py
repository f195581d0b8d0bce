"""The prompt of `nightread sql`: what is typed there, completed there and kept."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from jobs.commands.prompt import completer, questions

NAMES = ("scores", "schedules", "probability")


@pytest.fixture
def typed() -> Iterator[PipeInput]:
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        yield keys


@pytest.fixture
def asked(typed: PipeInput, tmp_path: Path) -> Callable[[str, Path], list[str]]:
    def ask(keys: str, home: Path = tmp_path) -> list[str]:
        typed.send_text(keys)
        return list(questions(home, NAMES))

    return ask


@pytest.mark.parametrize("end", ["\x04", "exit\r", "quit\r", "\\q\r"])
def test_each_line_is_a_question_until_the_end(asked: Callable[[str], list[str]], end: str) -> None:
    assert asked(f"SELECT 1\r\r  SELECT 2 \r{end}") == ["SELECT 1", "SELECT 2"]


def test_an_interrupt_drops_the_line_and_goes_on(asked: Callable[[str], list[str]]) -> None:
    assert asked("SELECT wrong\x03SELECT 2\r\x04") == ["SELECT 2"]


def test_a_history_is_kept_in_the_home_folder_alone(
    asked: Callable[[str, Path], list[str]], tmp_path: Path
) -> None:
    asked("SELECT 1\r\x04", tmp_path)
    assert asked("\x1b[A\r\x04", tmp_path) == ["SELECT 1"], "the key up"
    asked("SELECT 3\r\x04", tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("typed", "completed"), [("select PROB", ["probability"]), ("sel", ["SELECT"]), ("x", [])]
)
def test_names_and_words_are_completed_in_either_case(typed: str, completed: list[str]) -> None:
    found = completer(NAMES).get_completions(Document(typed), CompleteEvent(completion_requested=True))
    assert [completion.text for completion in found] == completed
