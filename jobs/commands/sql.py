"""The command `nightread sql`: a person's own question to the views, and its answer."""

from typing import Annotated

import typer

from db.answers import ask
from jobs.commands.session import ready
from jobs.console import print_json, print_table

app = typer.Typer()


@app.command()
def sql(
    query: Annotated[
        str, typer.Argument(help="A query over the views scores, auc, failures, progress, heatmaps.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per row.")] = False,
) -> None:
    """Query the database, read-only.

    Example: nightread sql "SELECT finding, auroc FROM auc WHERE run_id = 1 ORDER BY auroc DESC"
    """
    _, database = ready()
    columns, rows = ask(database, query)
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table(columns, rows)
