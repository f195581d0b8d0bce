"""The commands about how well a run finds: evaluate, compare, calibrate."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer
from sqlalchemy import Connection

from config.settings import Settings
from db import queries
from db.boxes import BoxValues, find_or_write_boxes
from db.calibration import calibrate_run
from db.comparisons import Comparisons, find_label_set, write_comparison
from db.database import Database
from db.evaluations import EvaluationRequest, ask
from jobs.commands.app import PANEL_ASK, FindingColumnOption, ImageColumnOption, app, column_mapping, ready
from jobs.console import (
    EXIT_INCOMPLETE,
    EXIT_USAGE,
    err,
    fail,
    out,
    print_auc,
    print_localisation,
    print_table,
)
from jobs.tables.boxes import BoxList, read_boxes
from jobs.tables.labels import OWN, open_labels, store_labels

T = TypeVar("T")

_SIGNIFICANT: Final = 0.05

RunArgument = Annotated[int, typer.Argument(metavar="RUN", help="The run's number.")]


def evaluate_now(database: Database, settings: Settings, evaluation_id: int) -> None:
    """Compute an evaluation that is due in this process, without queue or worker.

    Should this process be killed, the next reconciliation anywhere takes the evaluation up.
    """
    from workers.evaluation.figures import evaluate as compute  # noqa: PLC0415  # loads scikit-learn

    def at_once(action: Callable[[], T]) -> T:
        return action()

    with err.status(f"evaluating ({evaluation_id})"):
        if compute(database, evaluation_id, settings.lease_seconds, at_once) is None:
            fail(
                f"evaluation {evaluation_id} is being computed by a worker; see the view auc", EXIT_INCOMPLETE
            )


@app.command(rich_help_panel=PANEL_ASK)
def evaluate(
    run: RunArgument,
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV of other labels, in any form that a manifest has. Default: the run's own."),
    ] = None,
    label_set: Annotated[
        str | None, typer.Option(help="Name of these labels in the database. Default: the file's.")
    ] = None,
    image_column: ImageColumnOption = None,
    finding_column: FindingColumnOption = None,
    bootstrap: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Resamples of patients, for a second interval; 1000 are usual."
        ),
    ] = 0,
    sensitivity: Annotated[
        float | None,
        typer.Option(help="Wanted sensitivity, such as 0.95: the threshold that reaches it is added."),
    ] = None,
    boxes: Annotated[
        Path | None, typer.Option(help="CSV of boxes around findings, to hold the heatmaps against.")
    ] = None,
    box_column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT=COLUMN", help="Where image, finding, x, y, width or height is; repeatable."
        ),
    ] = None,
    box_finding: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FINDING", help="A finding that the boxes call otherwise; repeatable."),
    ] = None,
) -> None:
    """Evaluate a run again: with corrected labels, a bootstrap, another threshold, or drawn boxes.

    Scores are not touched, and earlier evaluations stay: each is a row of the view evaluations.

    Example: nightread evaluate 7 --labels relabelled.csv --label-set radiologists --bootstrap 1000
    """
    if label_set is not None and labels is None:
        fail("--label-set names the labels of --labels; give both", EXIT_USAGE)
    if label_set == OWN:
        fail(f"--label-set: {OWN!r} is the name of the run's own labels; choose another", EXIT_USAGE)
    if sensitivity is not None and not 0 < sensitivity <= 1:
        fail(f"--sensitivity: {sensitivity} is not above 0 and at most 1", EXIT_USAGE)
    settings, database = ready()
    progress = queries.progress(database, run)
    if not progress.settled:
        fail(
            f"run {run} is {progress.status}; it is evaluated when it ends (nightread resume {run} waits)",
            EXIT_USAGE,
        )
    opened = None if labels is None else open_labels(labels, image_column, column_mapping(finding_column))
    drawn = None
    if boxes is not None:
        columns = _pairs(box_column, "--box-column", "WHAT=COLUMN")
        drawn = read_boxes(
            boxes, columns=columns, findings=_pairs(box_finding, "--box-finding", "NAME=FINDING")
        )
    with database.write() as connection:
        box_set_id = None if drawn is None else _store_boxes(connection, drawn)
        if opened is None:
            name, label_manifest_id = OWN, find_label_set(connection, (run,), None)
        else:
            name = label_set or opened.path.name.removesuffix(".gz").removesuffix(".csv")
            label_manifest_id = store_labels(connection, run, opened)
        asked = EvaluationRequest(label_manifest_id, name, bootstrap, sensitivity, box_set_id)
        evaluation_id = ask(connection, run, asked)
    evaluate_now(database, settings, evaluation_id)
    print_auc(database, run)
    if box_set_id is not None:
        print_localisation(database, evaluation_id)
    out.print(f"evaluation {evaluation_id} of run {run}, labels: {asked.label_set}", highlight=False)


def _store_boxes(connection: Connection, drawn: BoxList) -> int:
    values = [BoxValues(**{name: getattr(one, name) for name in BoxValues._fields}) for one in drawn.boxes]
    path = str(drawn.path.resolve())
    return find_or_write_boxes(connection, fingerprint=drawn.fingerprint, path=path, boxes=values)


@app.command(rich_help_panel=PANEL_ASK)
def compare(
    run_a: Annotated[int, typer.Argument(metavar="A", help="A run's number.")],
    run_b: Annotated[int, typer.Argument(metavar="B", help="Another run's number.")],
    label_set: Annotated[
        str | None,
        typer.Option(
            help="Labels that an evaluation of A or B has used. Default: those of A's own manifest."
        ),
    ] = None,
) -> None:
    """Test whether run A finds better than run B, on the images that both have scored.

    DeLong's paired test, finding by finding, corrected for their number by Holm's method. The result is
    kept in the view comparisons.

    Example: nightread compare 8 7 --label-set radiologists
    """
    _, database = ready()
    from workers.evaluation.comparison import compare_runs  # noqa: PLC0415  # loads scikit-learn

    with database.read() as connection:
        label_manifest_id = find_label_set(connection, (run_a, run_b), label_set)
    with err.status("comparing"):
        comparisons = compare_runs(database, run_a, run_b, label_manifest_id)
    if not comparisons.images:
        fail(
            f"runs {run_a} and {run_b} have no image in common; images are the same if their names are",
            EXIT_USAGE,
        )
    if not comparisons.rows:
        fail(f"the models of runs {run_a} and {run_b} have no finding in common", EXIT_USAGE)
    with database.write() as connection:
        written = write_comparison(connection, run_a, run_b, label_manifest_id, label_set or OWN, comparisons)
    _print_comparison(database, (run_a, run_b), comparisons)
    out.print(f"comparison {written} is kept in the view comparisons", highlight=False)


def _print_comparison(database: Database, runs: tuple[int, int], comparisons: Comparisons) -> None:
    a, b = (queries.progress(database, run).model for run in runs)
    print_table(
        (
            "finding",
            "positive",
            "negative",
            f"A: run {runs[0]}, {a}",
            f"B: run {runs[1]}, {b}",
            "A - B",
            "95% interval",
            "p (Holm)",
            "",
        ),
        (
            (
                row["finding"],
                row["n_positive"],
                row["n_negative"],
                _figure(row["auroc_a"]),
                _figure(row["auroc_b"]),
                _figure(row["difference"], "+.3f"),
                None if row["ci_low"] is None else f"{row['ci_low']:+.3f} to {row['ci_high']:+.3f}",
                _figure(row["p_holm"], ".3g"),
                row["reason"] or _verdict(row["difference"], row["p_holm"]),
            )
            for row in comparisons.rows
        ),
        title=f"AUROC on the {comparisons.images:,} images that both have scored",
    )


def _figure(value: float | None, form: str = ".3f") -> str | None:
    return None if value is None else format(value, form)


def _verdict(difference: float | None, p: float | None) -> str | None:
    if difference is None or p is None or p >= _SIGNIFICANT:
        return None
    return "A is better" if difference > 0 else "B is better"


@app.command(rich_help_panel=PANEL_ASK)
def calibrate(
    run: RunArgument,
    evaluation: Annotated[
        int | None,
        typer.Option(
            help="Evaluation whose fit is taken, of any run of this model. Default: the run's newest."
        ),
    ] = None,
) -> None:
    """Write calibrated probabilities beside a run's raw ones, by the Platt scaling of an evaluation.

    Every evaluation fits one (columns platt_slope and platt_intercept of the view auc). Fit on other images
    than those that are calibrated, or the result flatters itself.

    Example: nightread calibrate 8 --evaluation 7
    """
    _, database = ready()
    with err.status("calibrating"):
        fitted, findings = calibrate_run(database, run, evaluation)
    out.print(
        f"run {run}: column calibrated of the view scores is filled for {findings} findings, by evaluation "
        f"{fitted}",
        highlight=False,
    )


def _pairs(given: list[str] | None, option: str, form: str) -> dict[str, str] | None:
    pairs = {}
    for one in given or []:
        left, _, right = one.partition("=")
        if not (left and right):
            raise typer.BadParameter(f"{one!r} is not {form}", param_hint=option)
        pairs[left] = right
    return pairs or None
