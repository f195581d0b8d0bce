"""The command `nightread calibrate`: calibrated probabilities beside a run's raw ones."""

from typing import Annotated

import typer

from db.calibration import calibrate_run
from jobs.commands.options import RunArgument
from jobs.commands.session import ready
from jobs.console import err, say

app = typer.Typer()


@app.command()
def calibrate(
    run: RunArgument,
    evaluation: Annotated[
        int | None,
        typer.Option(
            help="Evaluation whose fit is taken, of any run of this model. Default: the run's newest."
        ),
    ] = None,
) -> None:
    """Write calibrated probabilities beside a run's raw ones, using the Platt scaling of an evaluation.

    Every evaluation fits one (columns platt_slope and platt_intercept of the view auc). Fit on other images
    than those that are calibrated; otherwise the result is too good.

    Example: nightread calibrate 8 --evaluation 7
    """
    _, database = ready()
    with err.status("calibrating"):
        fitted, findings = calibrate_run(database, run, evaluation)
    say(
        f"run {run}: column calibrated of the view scores is filled for {findings} findings, by evaluation "
        f"{fitted}"
    )
