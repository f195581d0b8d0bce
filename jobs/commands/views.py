"""The command `nightread views`: what can be asked in SQL, without a database."""

from difflib import get_close_matches
from typing import Annotated

import typer

from jobs.commands.options import JsonOption
from jobs.console import EXIT_USAGE, fail, print_json, print_table, say
from jobs.views import View, described_views

app = typer.Typer()


@app.command()
def views(
    view: Annotated[
        str | None, typer.Argument(metavar="VIEW", help="The view to show. Default: all of them.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the SQL views: what a row of each is, and what its columns mean, with their units.

    It is the first part of docs/sql.md, which puts questions to the views.

    Example: nightread views auc
    """
    known = described_views()
    shown = list(known.values()) if view is None else [_named(view, known)]
    if as_json:
        print_json(
            [
                {"view": view.name, "rows": view.rows, "column": name, "meaning": column.meaning}
                for view in shown
                for column in view.columns
                for name in column.names
            ]
        )
        return
    for found in shown:
        rows = ((", ".join(column.names), column.meaning) for column in found.columns)
        print_table(("column", "meaning"), rows, title=f"{found.name}: {found.rows}")
    say("All times are UTC; a figure that is not defined is NULL.")


def _named(name: str, known: dict[str, View]) -> View:
    found = known.get(name.lower())
    if found is None:
        near = get_close_matches(name.lower(), known, n=1)
        hint = f" (perhaps {near[0]})" if near else ""
        fail(f"there is no view {name}{hint}; there are {', '.join(known)}", EXIT_USAGE)
    return found
