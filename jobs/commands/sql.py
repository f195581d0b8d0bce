"""The command `nightread sql`: a person's own questions to the views, and the answers."""

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from db.answers import ask, columns_of_views
from db.database import Database, SqlRow, SqlValue
from db.errors import DatabaseAwayError, DatabaseError
from jobs.commands.session import ready
from jobs.console import EXIT_USAGE, fail, note, out, print_delimited, print_json, print_readable, warn

app = typer.Typer()

_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")

_DELIMITERS: Final = {"csv": ",", "tsv": "\t"}


@app.command()
def sql(
    query: Annotated[
        str | None,
        typer.Argument(
            metavar="QUERY",
            help="A query over the views scores, auc, failures, progress, heatmaps. Without one, a prompt"
            " opens.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per row.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV with whole values; the default in a pipe.")
    ] = False,
    as_tsv: Annotated[bool, typer.Option("--tsv", help="Print the same, separated by tabs.")] = False,
) -> None:
    """Query the database, read-only.

    A terminal shows a table, or each row as a list where a table would be too wide. `nightread views`
    describes views and columns.

    Example: nightread sql "SELECT finding, auroc FROM auc WHERE run_id = 1 ORDER BY auroc DESC"

    Example: nightread sql "SELECT * FROM failures" > failures.csv
    """
    chosen = [form for form, wanted in (("json", as_json), ("csv", as_csv), ("tsv", as_tsv)) if wanted]
    if len(chosen) > 1:
        fail(f"--{chosen[0]} and --{chosen[1]} exclude each other", EXIT_USAGE)
    form = next(iter(chosen), "table" if out.is_terminal else "csv")
    settings, database = ready()
    if query is not None:
        _print(form, *ask(database, query))
    elif chosen or not (out.is_terminal and sys.stdin.isatty()):
        fail("name a query; only a terminal has a prompt", EXIT_USAGE)
    else:
        _converse(settings.home, database)


def _print(form: str, columns: Sequence[str], rows: Sequence[SqlRow]) -> None:
    if form == "json":
        print_json([dict(zip(columns, map(_moment, row), strict=True)) for row in rows])
    elif form == "table":
        print_readable(columns, rows)
    else:
        print_delimited(columns, rows, _DELIMITERS[form])


def _moment(value: SqlValue) -> SqlValue:
    """Return a moment that SQLite keeps as text as PostgreSQL returns it; any other value as it is."""
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    return value


def _converse(home: Path, database: Database) -> None:
    from jobs.commands.prompt import questions  # noqa: PLC0415  # a single query needs no prompt

    views = columns_of_views(database)
    note(f"views: {', '.join(views)}; Tab completes, Ctrl-D ends")
    for query in questions(home, [*views, *(name for fields in views.values() for name in fields)]):
        try:
            _print("table", *ask(database, query))
        except (DatabaseError, DatabaseAwayError) as error:
            warn(str(error))
