"""The command `nightread sql`: a person's own question to the views, and its answer."""

from typing import Annotated

import typer
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from jobs.commands.session import ready
from jobs.console import EXIT_USAGE, fail, print_json, print_table

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
    try:
        with database.read_only() as connection:
            result = connection.execute(text(query.replace(":", r"\:")))
            if not result.returns_rows:
                fail("this is no query: it gives no rows", EXIT_USAGE)
            columns, rows = list(result.keys()), result.fetchall()
    except DBAPIError as error:
        fail(str(error.orig).strip(), EXIT_USAGE)
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table(columns, rows)
