"""The command `nightread deliveries`: what was sent into a PACS, and what was not."""

import typer

from db.deliveries import counts
from jobs.commands.options import JsonOption, SomeRunArgument
from jobs.commands.session import existing
from jobs.console import print_json, print_table, say

app = typer.Typer()


@app.command()
def deliveries(
    run: SomeRunArgument = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was sent into a PACS: objects by receiver, kind and state, and what the receiver said.

    Each object is a row of the view deliveries.

    Example: nightread deliveries 7
    """
    _, database = existing()
    found = counts(database, run)
    if as_json:
        print_json([count._asdict() for count in found])
        return
    if not found:
        say("nothing was sent" if run is None else f"nothing of run {run} was sent")
        return
    print_table(
        ("run", "to", "kind", "state", "objects", "said"),
        (
            (count.run_id, count.target, count.kind, count.state, count.objects, count.status)
            for count in found
        ),
    )
