"""The command `nightread calibrate`: calibrated probabilities beside a run's raw ones."""

from typing import Annotated

import typer

from db.calibration import calibrate_run, images_fitted
from jobs.commands.options import RunArgument
from jobs.commands.runs import LARGEST_NUMBER
from jobs.commands.session import existing, require_suited
from jobs.console import err, say, warn

app = typer.Typer()


@app.command()
def calibrate(
    run: RunArgument,
    evaluation: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=LARGEST_NUMBER,
            metavar="NUMBER",
            help="Evaluation whose fit is taken, of any run of this model. Default: the run's newest.",
        ),
    ] = None,
) -> None:
    """Write calibrated probabilities beside a run's raw ones, using the Platt scaling of an evaluation.

    Every evaluation fits one (columns platt_slope and platt_intercept of the view auc). Fit on images other
    than those being calibrated; otherwise the result looks too good.

    Example: nightread calibrate 8 --evaluation 7
    """
    _, database = existing()
    require_suited(database, "calibrate", run)
    with err.status("calibrating"):
        fitted, findings = calibrate_run(database, run, evaluation)
    with database.read() as connection:
        shared = images_fitted(connection, run, fitted)
    if shared:
        warn(
            f"{shared:,} images of run {run} are among those that evaluation {fitted} was fitted on, where "
            "calibrated probabilities look better than they are; --evaluation takes a fit on other images"
        )
    say(
        f"run {run}: column calibrated of the view scores is filled for {findings} findings, by evaluation "
        f"{fitted}"
    )
