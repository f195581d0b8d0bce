"""docs/first-hour.md is typed again: each command of it, and the lines that it shows."""

import re
import shlex
import signal
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import pytest
from support import ROOT, Nightread, eventually

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]

PAGE = ROOT / "docs" / "first-hour.md"
FOLDER = "/home/ann/chest"


class Typed(NamedTuple):
    """A command of the page, and the lines that it shows; `…` is none of them."""

    words: list[str]
    shown: list[str]


def typed() -> list[Typed]:
    commands: list[Typed] = []
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ nightread "):
                commands.append(Typed(shlex.split(line)[2:], []))
            elif line != "…":
                commands[-1].shown.append(line)
    return commands


def letters(line: str) -> str:
    """A line without numbers, times and the frames of tables, which differ from run to run."""
    return " ".join(re.findall(r"[A-Za-z_%/']+", line))


def looked_at(nightread: Nightread, words: list[str]) -> str:
    """What a command prints that serves until a signal ends it, once its address has answered."""
    process = nightread.start(*words)
    (log,) = nightread.home.glob("browse.*.log")
    found = eventually(lambda: re.search(r"http://\S+/", log.read_text()), 60, "an address")
    with urlopen(found[0], timeout=30) as page:  # noqa: S310  # our own server
        assert page.status == 200
    process.send_signal(signal.SIGTERM)
    assert nightread.ends(process, 20) == 0
    return log.read_text()


def test_each_command_of_the_page_does_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nightread = Nightread(tmp_path / "nightread-home")
    commands = typed()
    assert len(commands) >= 10
    for words, shown in commands:
        if words[0] == "browse":
            printed = looked_at(nightread, words)
        else:
            # What asks needs no process of its own.
            done = nightread.run(*words) if words[0] in {"demo", "score"} else nightread.call(*words)
            mistake = any(line.startswith("error: ") for line in shown)
            assert done.returncode == (2 if mistake else 0), (words, done.stderr)
            printed = f"{done.stdout}\n{done.stderr}".replace(str(tmp_path), FOLDER)
        lines = [letters(line) for line in printed.splitlines()]
        for line in shown:
            assert any(found.startswith(letters(line)) for found in lines), f"{words}: {line}\n{printed}"
    assert (tmp_path / "run-1.html").is_file()
