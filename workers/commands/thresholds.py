"""The command `nightread thresholds`: operating points chosen on one run's images, tested on another's."""

from typing import Annotated

import typer

from db.database import Connection
from db.operating_points import chosen_points, model_of, points_tested, shared_images, write_tested
from db.receipts import write_once
from jobs.commands.options import RunArgument
from jobs.commands.runs import find_run
from jobs.commands.session import existing
from jobs.console import EXIT_USAGE, err, fail, figure, interval, print_table, say
from workers.evaluation.operating_points import judge_points

app = typer.Typer()


@app.command()
def thresholds(
    run: RunArgument,
    chosen_on: Annotated[
        int,
        typer.Option(
            metavar="RUN", parser=find_run, help="Run of the same model whose images chose the thresholds."
        ),
    ],
) -> None:
    """Test thresholds on images that had no part in choosing them.

    The newest evaluation of the other run chose them: Youden's, that of a wanted sensitivity, and those at
    90% specificity and sensitivity. The result is kept in the view operating_points.

    Example: nightread thresholds 8 --chosen-on 7
    """
    _, database = existing()
    with database.read() as connection:
        chosen = chosen_points(connection, chosen_on)
        model_id, label_manifest_id = model_of(connection, run)
        shared = shared_images(connection, label_manifest_id, chosen.label_manifest_id)
    if model_id != chosen.model_id:
        fail(f"runs {run} and {chosen_on} are of two models; a threshold holds for its own", EXIT_USAGE)
    if shared:
        fail(
            f"runs {run} and {chosen_on} have {shared:,} images in common: thresholds look better on the "
            "images that chose them; test them on a run of other images",
            EXIT_USAGE,
        )
    with err.status("testing"):
        rows = judge_points(database, run, label_manifest_id, chosen)

    def write(connection: Connection) -> None:
        write_tested(connection, run, chosen, label_manifest_id, rows)

    write_once(database, write)
    with database.read() as connection:
        found = points_tested(connection, run, chosen.evaluation_id)
    print_table(
        (
            "finding",
            "threshold of",
            "threshold",
            "sensitivity",
            "95% interval",
            "there",
            "specificity",
            "95% interval",
            "there",
        ),
        (
            (
                row.finding,
                row.kind,
                figure(row.threshold),
                row.sensitivity,
                interval(row.sensitivity_low, row.sensitivity_high),
                row.sensitivity_when_chosen,
                row.specificity,
                interval(row.specificity_low, row.specificity_high),
                row.specificity_when_chosen,
            )
            for row in found
        ),
        title=f"thresholds chosen on run {chosen_on}, tested on run {run}",
    )
    say("kept in the view operating_points")
