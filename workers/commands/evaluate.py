"""The command `nightread evaluate`: a run's figures by other labels, intervals, thresholds or boxes."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from db import queries
from db.comparisons import find_label_set
from db.database import Connection
from db.evaluations import EvaluationRequest, ask
from db.manifests import manifest_of
from db.receipts import write_once
from jobs.commands.options import RunArgument, pairs
from jobs.commands.reading import reads_table, say_reading
from jobs.commands.session import existing, require_suited
from jobs.console import EXIT_USAGE, fail, say
from jobs.results import print_figures, print_localisation
from jobs.tables.boxes import read_boxes, store_boxes
from jobs.tables.labels import OWN, open_labels, store_labels
from jobs.tables.place import local_table, place_of
from jobs.tables.reading import ReadOptions
from workers.commands.evaluation import evaluate_now
from workers.commands.readers import evaluate_readers, open_reader

app = typer.Typer()


@app.command()
@reads_table
def evaluate(
    run: RunArgument,
    read: ReadOptions,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="CSV",
            help="CSV of other labels, in any form and place that a manifest has. Default: the run's own.",
        ),
    ] = None,
    label_set: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of these labels in the database. Default: the file's."),
    ] = None,
    each_reader: Annotated[
        bool,
        typer.Option(
            "--each-reader",
            help="Each reader of --labels (VinDr-CXR) as a label set, and how far they agree: kappa.",
        ),
    ] = False,
    bootstrap: Annotated[
        int,
        typer.Option(
            min=0,
            max=100_000,
            metavar="N",
            help="Resamples of patients, for a second interval; 1000 are usual.",
        ),
    ] = 0,
    sensitivity: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Wanted sensitivity, such as 0.95: the threshold that reaches it is added."
        ),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="CSV of boxes around findings, to compare the heatmaps with."),
    ] = None,
    box_column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT=COLUMN", help="Where image, finding, x, y, width or height is; repeatable."
        ),
    ] = None,
    box_finding: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FINDING", help="A finding that the boxes name differently; repeatable."),
    ] = None,
) -> None:
    """Evaluate a run again: with corrected labels, a bootstrap, another threshold, or drawn boxes.

    Scores are not touched, and earlier evaluations stay: each is a row of the view evaluations.

    Example: nightread evaluate 7 --labels relabelled.csv --label-set radiologists --bootstrap 1000
    """
    _require_options(labels, label_set, boxes, sensitivity, each_reader=each_reader)
    settings, database = existing()
    progress = queries.progress(database, run)
    if not progress.settled:
        fail(
            f"run {run} is {progress.status}; it is evaluated when it ends (nightread resume {run} waits)",
            EXIT_USAGE,
        )
    if labels or boxes or sensitivity:
        require_suited(database, "evaluate", run)
    with database.read() as connection:
        findings, root = queries.model_findings(connection, run), manifest_of(connection, run).root
    place = None if labels is None else place_of(labels)
    path = None if place is None else local_table(place, settings.home)
    read = read.fetched(settings.home)
    if each_reader and path is not None:
        opened_by = partial(open_reader, path, read, findings, root)
        evaluate_readers(database, settings, run, opened_by, bootstrap, sensitivity)
        return
    opened = None if path is None else open_labels(path, read, findings, root, place)
    drawn = None
    if boxes is not None:
        columns = pairs(box_column, "--box-column", "WHAT=COLUMN")
        drawn = read_boxes(
            boxes,
            columns=columns,
            findings=pairs(box_finding, "--box-finding", "NAME=FINDING"),
            model=findings,
            root=root,
        )
    name = OWN if opened is None else label_set or _stem(opened.path)

    def write(connection: Connection) -> int:
        box_set_id = None if drawn is None else store_boxes(connection, drawn)
        labelled = (
            find_label_set(connection, (run,), None)
            if opened is None
            else store_labels(connection, run, opened)
        )
        return ask(connection, run, EvaluationRequest(labelled, name, bootstrap, sensitivity, box_set_id))

    evaluation_id = write_once(database, write)
    if opened is not None:
        say_reading(opened)
    evaluate_now(database, settings, evaluation_id)
    print_figures(database, run)
    if drawn is not None:
        print_localisation(database, evaluation_id)
    say(f"evaluation {evaluation_id} of run {run}, labels: {name}")


def _require_options(
    labels: str | None,
    label_set: str | None,
    boxes: Path | None,
    sensitivity: float | None,
    *,
    each_reader: bool,
) -> None:
    """End with a message where the options do not go together."""
    if label_set is not None and labels is None:
        fail("--label-set names the labels of --labels; give both", EXIT_USAGE)
    if each_reader and (labels is None or label_set is not None or boxes is not None):
        fail("--each-reader needs --labels, and goes without --label-set and --boxes", EXIT_USAGE)
    if label_set == OWN:
        fail(f"--label-set: {OWN!r} is the name of the run's own labels; choose another", EXIT_USAGE)
    if sensitivity is not None and not 0 < sensitivity <= 1:
        fail(f"--sensitivity: {sensitivity} is not above 0 and at most 1", EXIT_USAGE)


def _stem(path: Path) -> str:
    """Return a table's name without its endings."""
    return Path(path.name.removesuffix(".gz")).stem
