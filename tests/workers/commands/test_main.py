"""The command line before and while a command is loaded: what it shows is what there is."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from support import ROOT
from typer.testing import CliRunner

from workers.commands.main import COMMANDS, app


def first_paragraph(text: str) -> str:
    return " ".join(text.split("\n\n", maxsplit=1)[0].split())


@pytest.fixture
def root() -> Any:
    return typer.main.get_command(app)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_of_each_command_is_the_beginning_of_its_own_help(root: Any, name: str) -> None:
    assert first_paragraph(root.load(name).help) == COMMANDS[name].summary


def test_every_module_with_a_command_has_its_line_in_the_registry() -> None:
    written = set()
    for path in (*(ROOT / "jobs" / "commands").glob("*.py"), *(ROOT / "workers" / "commands").glob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        names = {
            target.id
            for statement in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name)
        }
        if "app" in names and module != "workers.commands.main":
            written.add(module)
    assert written == {entry.module for entry in COMMANDS.values()}


def test_the_help_shows_every_command_with_its_summary_under_its_panel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0
    for name, entry in COMMANDS.items():
        panel = shown.output.partition(f" {entry.panel} ")[2].partition("╰")[0]
        (line,) = [line for line in panel.splitlines() if line.split()[1:2] == [name]]
        assert entry.summary in line


def all_commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its whole name; a group that has an argument of its own is one of them."""
    below = getattr(command, "commands", {})
    for word in below:
        loaded = command.load(word) if hasattr(command, "load") else below[word]
        yield from all_commands(loaded, f"{name} {word}".strip())
    if name and (not below or any(parameter.param_type_name == "argument" for parameter in command.params)):
        yield name, command


def test_the_help_of_every_command_has_an_example_of_it(root: Any) -> None:
    for name, command in all_commands(root):
        examples = re.findall(r"Example: (?:NIGHTREAD_\S+ )?nightread (.*)", command.help)
        assert examples, name
        of_it = name.split() if "schedule add" not in name else ["schedule", "add"]
        assert all(example.split()[: len(of_it)] == of_it for example in examples), name


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("", "[OPTIONS] COMMAND [ARGS]..."),
        ("heatmap", "heatmap [OPTIONS] RUN IMAGE"),
        ("status", "status [OPTIONS] [RUN]"),
        ("runs delete", "runs delete [OPTIONS] RUN..."),
        ("models ensemble", "models ensemble [OPTIONS] MODEL..."),
        ("schedule add night score", "schedule add NAME score [OPTIONS] MANIFEST|FOLDER|URL"),
    ],
)
def test_the_help_names_values_as_people_give_them_without_types_of_python(
    monkeypatch: pytest.MonkeyPatch, command: str, usage: str
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = CliRunner().invoke(app, [*command.split(), "--help"])
    assert shown.exit_code == 0
    (line,) = [line for line in shown.output.splitlines() if "Usage:" in line]
    assert line.rstrip().endswith(usage)
    # A run is a number or a name, and a switch has no value.
    assert not re.findall(r"<(?:int|str|bool|path|list)", shown.output)
    if command.startswith("schedule"):
        assert "not scored again; another model" in shown.output, "the terminal's width ends its lines"


def test_the_help_of_every_command_says_what_each_value_is(root: Any) -> None:
    for name, command in all_commands(root):
        for parameter in command.params:
            assert parameter.help or parameter.name == "help", f"{name}: {parameter.opts}"
            if parameter.metavar is None and not getattr(parameter, "is_flag", False):
                shown = parameter.display_type_rich(typer.Context(command))
                types = {"<str>", "<path>", "<int>", "<float>"}
                assert shown not in types, f"{name}: {parameter.opts} has no metavar"


@pytest.mark.parametrize(("misspelt", "meant"), [("sqll", "'sql'"), ("schedul", "'schedule'")])
def test_a_misspelt_command_is_answered_with_the_one_that_is_meant(misspelt: str, meant: str) -> None:
    refused = CliRunner().invoke(app, [misspelt])
    assert refused.exit_code == 2
    assert f"No such command '{misspelt}'" in refused.output
    assert meant in refused.output


def completed(tmp_path: Path, *words: str) -> list[str]:
    """What a bash that completes the last word is told."""
    environment = {
        "_NIGHTREAD_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(("nightread", *words)),
        "COMP_CWORD": str(len(words)),
        "NIGHTREAD_HOME": str(tmp_path),
    }
    code = "import sys; sys.argv[0] = 'nightread'; from workers.commands.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.split()


@pytest.mark.processes
def test_a_shell_completes_commands_of_groups_and_options_of_commands(tmp_path: Path) -> None:
    assert completed(tmp_path, "s") == [name for name in COMMANDS if name.startswith("s")]
    assert completed(tmp_path, "schedule", "re") == ["remove"]
    assert "--heatmaps" in completed(tmp_path, "score", "--h")
