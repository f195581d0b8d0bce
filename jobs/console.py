"""Output to terminals and pipes: every line and table that a command prints passes through here."""

import csv
import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from config.texts import escaped

EXIT_INCOMPLETE: Final = 1
EXIT_USAGE: Final = 2
EXIT_SOME_FAILED: Final = 3

_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of control, format, surrogate and separator of lines and paragraphs."""

REPLACING: Final = ", replacing the file that was there"
"""Said of a file that is written where one was."""


def plain(text: str) -> str:
    """Return a text that came from outside as a terminal may be given it.

    Control characters, those that turn the direction of writing, and lone surrogates are shown by their
    codes, as Python writes them; newline and tab stay.
    """
    return escaped(text, lambda letter: letter in "\n\t" or unicodedata.category(letter) not in _UNSAFE)


def shown(text: str) -> Text:
    """Return a text as Rich's own elements may be given it: it is no markup, and `plain`."""
    return Text(plain(text))


def _console(*, stderr: bool = False) -> Console:
    console = Console(stderr=stderr, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 160  # a pipe or a file has no width: Rich's 80 columns would cut names short there
    return console


out = _console()
err = _console(stderr=True)


def leave_terminal() -> None:
    """Print as to a file from now on, which standard output has become: no colours, and its own width."""
    for console, fresh in ((out, _console()), (err, _console(stderr=True))):
        vars(console).update(vars(fresh))


def say(line: str, style: str | None = None) -> None:
    """Print a line as it is: a path in it is neither wrapped nor read as markup."""
    out.print(plain(line), style=style, highlight=False, markup=False, soft_wrap=True)


def note(line: str, style: str | None = None) -> None:
    """Print a line about the work, not its result, to standard error."""
    err.print(plain(line), style=style, highlight=False, markup=False, soft_wrap=True)


def warn(line: str) -> None:
    """Print a line that a person should not miss to standard error."""
    note(line, style="yellow")


def fail(message: str, code: int) -> NoReturn:
    """Say in one line what is wrong, and end."""
    line = Text.assemble(("error:", "bold red"), f" {plain(message)}")
    err.print(line, highlight=False, soft_wrap=True)
    raise SystemExit(code)


def print_json(value: object) -> None:
    """Print JSON for another program; moments become ISO 8601, paths strings."""
    typer.echo(json.dumps(value, default=_jsonable, indent=2))


def _jsonable(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Print rows as a table, values as they are, without markup; NULL is shown as nothing."""
    table = Table(title=None if title is None else shown(title), title_justify="left")
    for column in columns:
        table.add_column(shown(column))
    for row in rows:
        table.add_row(*(Text(_text(value)) for value in row))
    out.print(table)


def print_delimited(columns: Sequence[str], rows: Iterable[Sequence[object]], delimiter: str) -> None:
    """Print whole values for another program: a header, then a line per row; NULL is an empty field."""
    writer = csv.writer(sys.stdout, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    if sys.stdout.isatty():
        rows = ([plain(value) if isinstance(value, str) else value for value in row] for row in rows)
    writer.writerows(rows)


def print_readable(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows for a person: as a table where the terminal is wide enough, else each row as a list."""
    widths = [max(len(name), *(len(_text(row[n])) for row in rows), 0) for n, name in enumerate(columns)]
    if sum(widths) + 3 * len(widths) + 1 <= out.width:
        print_table(columns, rows)
        return
    if not rows:
        say(f"no rows; columns: {', '.join(columns)}")
    margin = max(map(len, columns), default=0)
    for number, row in enumerate(rows, start=1):
        say(f"--- {number} of {len(rows)}", style="dim")
        for name, value in zip(columns, row, strict=True):
            say(f"{name:<{margin}}  {_text(value)}".rstrip())


def figure(value: float | None, form: str = ".3f") -> str | None:
    """Return a figure as tables show it; None where there is none."""
    return None if value is None else format(value, form)


def interval(low: float | None, high: float | None) -> str | None:
    """Return an interval as tables show it; None where there is none."""
    return None if low is None or high is None else f"{low:.3f} - {high:.3f}"


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else plain(str(value))
