"""The command line itself: its commands, each loaded when called, and the one place where errors end."""

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from inspect import cleandoc
from io import TextIOWrapper
from typing import Annotated, Any, ClassVar, Final, NamedTuple

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_group

from config.errors import ConfigError
from config.files import is_full
from db.errors import DatabaseAwayError, DatabaseError
from jobs.console import EXIT_INCOMPLETE, EXIT_USAGE, fail
from jobs.errors import AwayError, JobsError

PANEL_RUN: Final = "Score an archive"
PANEL_ASK: Final = "Look at the results"
PANEL_MODELS: Final = "Models"
PANEL_MANY: Final = "Run on several machines"

log = logging.getLogger(__name__)

_LINE_END: Final = re.compile(r"(?<!\n)\n(?!\n)")
"""The end of a docstring's line within a paragraph: the terminal's width ends the help's lines."""

Context = Any
"""Click's context, which Typer's versions keep in different places."""

Command = Any
"""Click's command or group, as `Context`."""

Attribute = Any
"""A keyword argument that Click is given."""


class Entry(NamedTuple):
    """A command that is not loaded yet: its module, and what `nightread --help` shows about it."""

    module: str
    panel: str
    summary: str


class _Argument(TyperArgument):
    """An argument that help shows by its name alone.

    Typer adds the type of the value that a command gets, but a run may be given by a name, too.
    """

    def display_type_rich(self, ctx: Context) -> None:
        """Show no type."""

    def get_usage_pieces(self, ctx: Context) -> list[str]:  # noqa: ARG002  # Click's signature
        """Show RUN, [RUN] if it may be left out, and RUN... if there may be several."""
        name = f"{self.metavar or self.name.upper()}{'...' if self.nargs != 1 else ''}"
        return [name if self.required else f"[{name}]"]


class _Switch(TyperOption):
    """An option without a value, beside which Typer shows `<bool>`."""

    def display_type_rich(self, ctx: Context) -> None:
        """Show no type."""


def _show_no_types(command: Command, ctx: Context) -> None:
    """Have a command's help show no type beside a name that says enough."""
    for parameter in command.get_params(ctx):
        if isinstance(parameter, TyperArgument):
            parameter.__class__ = _Argument
        elif parameter.is_flag:
            parameter.__class__ = _Switch


def _tree(command: Command) -> Iterator[Command]:
    """Yield a command and, of a group, all commands below it."""
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from _tree(below)


class LazyGroup(TyperGroup):
    """A group that knows about its commands only what the help shows, and loads one when it is called.

    A module has a Typer instance `app` that holds the command under its name, or is itself the group of that
    name. Help, completion and suggestions see the entries only.
    """

    entries: ClassVar[Mapping[str, Entry]] = {}

    def __init__(self, **attributes: Attribute) -> None:
        super().__init__(**attributes)
        for name, entry in self.entries.items():
            self.add_command(TyperCommand(name, help=entry.summary, rich_help_panel=entry.panel))

    def get_help(self, ctx: Context) -> str:
        """Return what `nightread --help` prints."""
        _show_no_types(self, ctx)
        return super().get_help(ctx)

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command, list[str]]:
        """Find the command that `args` begin with, and load it."""
        name, found, rest = super().resolve_command(ctx, args)
        if name is not None:
            found = self.load(name)
            for command in _tree(found):
                _show_no_types(command, ctx)
        return name, found, rest

    def load(self, name: str) -> Command:
        """Load a command's module; returns the command, or the group of that name."""
        group = get_group(import_module(self.entries[name].module).app)
        for command in _tree(group):
            command.help = _LINE_END.sub(" ", cleandoc(command.help or ""))
        return group.commands.get(name, group)


def command_line(commands: Mapping[str, Entry]) -> typer.Typer:
    """Make the command line that has these commands."""

    class Commands(LazyGroup):
        entries = commands

    app = typer.Typer(
        cls=Commands,
        help="Scores archives of chest radiographs overnight; every result is a row in SQL. "
        "Not for clinical use.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback()(_options)
    return app


def _print_versions(wanted: bool) -> None:
    if wanted:
        import_module("jobs.commands.version").print_versions()
        raise typer.Exit


def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=_print_versions,
            help="Show the versions of Nightread, Python, the engine and the database, and exit.",
        ),
    ] = False,
) -> None:
    """Take the options before a command."""


def run_cli(app: typer.Typer) -> None:
    """Run the command line; an error that a person can act on becomes one line instead of a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # no letter that the encoding lacks ends a command
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except (AwayError, DatabaseAwayError) as error:
        fail(str(error), EXIT_INCOMPLETE)
    except (JobsError, ConfigError, DatabaseError) as error:
        fail(str(error), EXIT_USAGE)
    except UnicodeEncodeError as error:
        fail(f"{error.object!r} is not text in UTF-8, as names and queries must be", EXIT_USAGE)
    except OSError as error:
        # A name that no file can have, or a folder that nobody may enter.
        log.debug("this ended the command", exc_info=True)
        what = f"{error.filename}: " if error.filename is not None else ""
        fail(f"{what}{error.strerror or error}", EXIT_INCOMPLETE if is_full(error) else EXIT_USAGE)
