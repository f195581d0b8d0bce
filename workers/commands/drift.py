"""The command `nightread drift`: a run beside a baseline run, by its images and its scores."""

from typing import Annotated

import typer

from db import queries
from db.database import Record
from db.drift import DriftCheck, write_drift
from db.receipts import write_once
from jobs.commands.options import JsonOption, RunArgument
from jobs.commands.runs import find_run
from jobs.commands.session import existing
from jobs.console import EXIT_USAGE, err, fail, figure, print_json, print_table, say
from workers.evaluation.drift import LEVEL, drift_of_runs, is_shifted

app = typer.Typer()


@app.command()
def drift(
    run: RunArgument,
    baseline: Annotated[
        int,
        typer.Option(
            metavar="RUN", parser=find_run, help="The run to compare with, known to be as it should be."
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Test whether a run's images and scores are like those of a baseline run.

    It compares probabilities, shares over the threshold, what the model's gate measures, age, sex and view.
    A patient's images are counted together. The p values are corrected for the number of tests: where nothing
    has changed, at most 1 run in 100 shows a shift. The result is kept in the view drift.

    Example: nightread drift last --baseline 7
    """
    if run == baseline:
        fail(f"run {run} cannot be its own baseline", EXIT_USAGE)
    _, database = existing()
    for one in (run, baseline):
        progress = queries.progress(database, one)
        if not progress.settled:
            fail(f"run {one} is {progress.status}; drift is measured when it has ended", EXIT_USAGE)
    with err.status("comparing"):
        check = DriftCheck(run, baseline, drift_of_runs(database, run, baseline))
    written = write_once(database, lambda connection: write_drift(connection, check))
    if as_json:
        print_json(check.rows)
        return
    _print(check)
    shifted = sum(map(is_shifted, check.rows))
    tested = sum(row["p"] is not None for row in check.rows)
    say(f"{shifted} of {tested} tests show a shift, at the level {LEVEL} for all of them together")
    say(f"comparison {written} is kept in the view drift")


def _print(check: DriftCheck) -> None:
    print_table(
        (
            "measure",
            "finding",
            "images",
            f"run {check.run_id}",
            f"run {check.baseline_id}",
            "PSI",
            "KS",
            "p (Holm)",
            "",
        ),
        (
            (
                row["measure"],
                row["finding"],
                f"{row['n']:,} / {row['n_baseline']:,}",
                figure(row["value"]),
                figure(row["value_baseline"]),
                figure(row["psi"]),
                figure(row["ks"]),
                figure(row["p_holm"], ".3g"),
                row["reason"] or _verdict(row),
            )
            for row in check.rows
        ),
        title=f"run {check.run_id} beside run {check.baseline_id}: means and shares",
    )


def _verdict(row: Record) -> str | None:
    return "shifted" if is_shifted(row) else None
