"""The images' root: named, there, and readable."""

from pathlib import Path

from config.settings import Settings
from jobs.doctor import images
from jobs.doctor.verdict import Night, State, Verdict


def asked(root: str | None) -> Verdict:
    (found,) = images.ask(Night(Settings(), root=root))
    return found


def test_a_root_that_is_there_is_as_it_must_be(tmp_path: Path) -> None:
    assert asked(str(tmp_path)).state is State.OK


def test_no_root_a_missing_one_a_file_and_an_unknown_store_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = {
        "no folder was named": asked(None),
        "there is no such folder": asked(str(tmp_path / "gone")),
        "is a file": asked(str(tmp_path / "file")),
        "cannot be read from s4://": asked("s4://bucket"),
    }
    for words, verdict in found.items():
        assert words in verdict.seen
        assert verdict.advice
    assert [verdict.state for verdict in found.values()] == [State.UNASKED, *[State.FAULT] * 3]
