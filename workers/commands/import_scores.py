"""The command `nightread import-scores`: another system's scores become a run, evaluated like any other."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from db import queries, recovery
from db.imports import open_evaluation
from db.receipts import patiently
from jobs.commands.reading import reads_table
from jobs.commands.session import ready
from jobs.console import err, note, say, shown
from jobs.dispatch.follow import finish
from jobs.imports import ImportedRun, ImportOrder, import_scores
from jobs.tables.reading import ReadOptions, reading_lines
from workers.commands.evaluation import evaluate_now

app = typer.Typer()


@app.command("import-scores")
@reads_table
def import_scores_(
    scores: Annotated[
        Path,
        typer.Argument(
            metavar="SCORES",
            help="Table with one image per row and one column of probabilities per finding: --image-column "
            "and --finding-column are its columns, the other options the labels'.",
        ),
    ],
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What the other system is called: its name as a model.")
    ],
    read: ReadOptions,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Table with the images' labels, patients and views, as a manifest."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of the images; it need not exist. Default: the folder of the scores."
        ),
    ] = None,
) -> None:
    """Import another system's scores as a run, evaluate it, and print the AUC table.

    Probabilities are from 0 to 1; a blank cell or NaN is no score. The same files under the same name are
    imported once.

    Exit code 0: every image has a score; 3: complete, some images have none; 2: a file or option is wrong.

    Example: nightread import-scores preds.csv --name chexnet --labels Data_Entry_2017.csv --images images/
    """
    settings, database = ready()
    of_scores = {"image_column": None, "finding_columns": None}
    of_labels = read.fetched(settings.home).model_copy(update=of_scores)
    if labels is None and of_labels.told().keys() - {"encoding", "sheet"}:
        raise typer.BadParameter("needed with the options for reading labels", param_hint="--labels")
    order = ImportOrder(scores, name, labels, images, read.image_column, read.finding_columns, of_labels)
    with err.status(shown(f"reading {scores}")):
        imported = import_scores(database, order)
    _say(imported, order)
    patiently(partial(recovery.close_finished, database, imported.run_id))
    due = open_evaluation(database, imported.run_id)
    if due is not None:
        evaluate_now(database, settings, due)
    finish(database, queries.progress(database, imported.run_id))


def _say(imported: ImportedRun, order: ImportOrder) -> None:
    lines = [f"run {imported.run_id}: {imported.images:,} images, {imported.findings} findings"]
    if not imported.new:
        lines = [f"these scores are run {imported.run_id} already; nothing was written"]
    if order.labels is None:
        how = f"nightread evaluate {imported.run_id} --labels CSV"
        lines.append(f"without labels there are no figures; to add some: {how}")
    else:
        if imported.unlabelled:
            lines.append(
                f"{order.labels} has no row for {imported.unlabelled:,} of the {imported.images:,} images: "
                "their labels are unknown"
            )
        if imported.unscored:
            lines.append(f"{imported.unscored:,} rows of {order.labels} are of images without a score here")
    if order.labels is not None and imported.reading is not None:
        for line in reading_lines(order.labels, imported.reading):
            note(line)
    for line in lines:
        say(line)
