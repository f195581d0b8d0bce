"""No mistake of a person ends in a traceback: every command with each of its values wrong, in forty ways."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from support import Nightread, close_run, make_run, score_batches

from workers.commands.main import app

pytestmark = pytest.mark.timeout(1200)

LONG = "x" * 5_000

MISTAKES = (
    *("", " ", "\t", "\x1b[31mred", "\u202eevil", "\udcff", "٣", "'", "[/]", "%s{x}", "*", "=", "a=b", "--"),
    *("nan", "inf", "1e400", "-1", "-0.5", "0", "3.5", "9" * 30, LONG, "'; DROP TABLE run; --", "a,b", ","),
    *("gone.csv", "folder", "/proc/nope/x.csv", "noise.csv", "empty.csv", "socket", "loop", "broken.csv"),
    *(
        "empty.csv/below.csv",
        "../..",
        "s3://nowhere",
        "https://nowhere",
        "header.csv",
        "fake.csv.gz",
        "noise.png",
    ),
)
"""Words, numbers, and files as `workplace` has them."""

GOOD = {
    "RUN": "1",
    "[RUN]": "1",
    "A": "1",
    "B": "1",
    "RUN|latest": "latest",
    "CSV": "manifest.csv",
    "MANIFEST": "manifest.csv",
    "MANIFEST|FOLDER": "manifest.csv",
    "FOLDER": "folder",
    "DIR": "folder",
    "FILE|DIR": "noise.csv",
    "NAME": "stub",
    "IMAGE": "00000000_000.png",
    "FINDING": "Mass",
    "FILE": "out.csv",
    "QUERY": "SELECT 1",
}
"""By what a value is, one that is right, or at least no mistake of this kind."""

ALSO = {
    # What is tried is refused before it takes long: by a number too small, or by patients in both splits.
    "demo": ("--images", "1"),
    "submit": ("--model", "stub", "--images", "folder"),
    "score": ("--model", "gone", "--images", "folder"),
    "evaluate": ("--each-reader",),
    "schedule add": ("--cron", "0 2 * * *", "evaluate", "latest"),
    "heatmap": ("-o", "out.png"),
    "models add": ("--layout", "torchvision"),
}


LASTING = frozenset(
    {
        "score",
        "submit",
        "schedule add score",
        "report",
        "export",
        "evaluate",
        "import-scores",
        "train",
        "models add",
        "worker",
        "beat",
        "flower",
    }
)
"""Commands that take long where a value happens to be right."""

SHARE = 5
"""Of these, each value is tried with every fifth mistake, and the next value with others."""


@pytest.fixture
def workplace(nightread: Nightread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nightread]:
    """A home with a scored run, and a folder of files that are not what they should be."""
    assert nightread.call("db", "upgrade").returncode == 0
    database = nightread.database()
    run_id = make_run(database, nightread.home, 6)
    score_batches(database, nightread.home / "models", run_id)
    close_run(database, run_id)
    here = tmp_path / "here"
    (here / "folder").mkdir(parents=True)
    (here / "manifest.csv").write_bytes((nightread.home / "manifest-6.csv").read_bytes())
    for name in ("noise.csv", "noise.png"):
        (here / name).write_bytes(bytes(range(256)) * 8)
    (here / "fake.csv.gz").write_bytes(b"\x1f\x8b" + bytes(50))
    (here / "empty.csv").touch()
    (here / "header.csv").write_text("Image Index,Finding Labels\n", encoding="utf-8")
    (here / "loop").symlink_to("loop")
    (here / "broken.csv").symlink_to("gone")
    monkeypatch.chdir(here)
    # It stands for all that is no file: a device of the machine's own would be lost to a mistake of ours.
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")  # from here: a socket's path is limited to about 100 characters
    before = dict(os.environ)
    yield nightread
    for name in os.environ.keys() - before.keys():  # a worker's options, which its children would read
        del os.environ[name]


def commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its whole name; the group `schedule add` has values of its own."""
    below = getattr(command, "commands", {})
    for word in below:
        loaded = command.load(word) if hasattr(command, "load") else below[word]
        yield from commands(loaded, f"{name} {word}".strip())
    if name and (not below or name == "schedule add"):
        yield name, command


def calls(name: str, command: Any) -> Iterator[list[str]]:
    """The command with each of its values wrong; what else it needs is right."""
    words = name.split()
    if name.startswith("schedule add "):
        words = ["schedule", "add", "night", "--cron", "0 2 * * *", words[-1]]
    values = [parameter for parameter in command.params if not getattr(parameter, "is_flag", False)]
    for number, wrong in enumerate(values):
        for mistake in MISTAKES[number % SHARE :: SHARE] if name in LASTING else MISTAKES:
            called = [*words]
            for parameter in values:
                value = mistake if parameter is wrong else GOOD.get(parameter.metavar or "", "1")
                if parameter.param_type_name == "argument":
                    called += [value]
                elif parameter is wrong or parameter.required:
                    called += [f"{parameter.opts[0]}={value}"]
            yield [*called, *ALSO.get(name, ())]


ELSEWHERE = frozenset({"browse", "doctor", "metrics"})
"""Where a value is right, `doctor` loads a network and the others serve until a signal ends them."""

COMMANDS = {name: command for name, command in commands(typer.main.get_command(app)) if name not in ELSEWHERE}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_value_ends_in_a_line_and_not_in_a_traceback(workplace: Nightread, name: str) -> None:
    for called in calls(name, COMMANDS[name]):
        try:
            done = workplace.call(*called)
        except Exception as error:
            raise AssertionError(f"a traceback ends {called!a}") from error
        assert done.returncode in {0, 1, 2, 3}, called
        assert "Traceback" not in done.stderr, called
        assert done.returncode in {0, 3} or done.stderr.strip(), f"{called!a} ends without a word"
