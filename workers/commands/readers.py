"""Each reader of a file of labels as a label set of its own, and how far they agree."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from config.settings import Settings
from db.agreement import images_of, write_agreement
from db.database import Connection, Database
from db.evaluations import EvaluationRequest, ask
from db.receipts import write_once
from jobs.console import EXIT_USAGE, fail, figure, interval, print_table, say
from jobs.tables.labels import open_labels, store_labels
from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions
from workers.commands.evaluation import evaluate_now
from workers.evaluation.agreement import agreements


def open_reader(path: Path, read: ReadOptions, findings: Sequence[str], root: str, reader: str) -> Manifest:
    """Open a file of labels with those of one reader, or with a rule for all of them."""
    return open_labels(path, read.model_copy(update={"readers": reader}), findings, root)


def evaluate_readers(
    database: Database,
    settings: Settings,
    run_id: int,
    opened: Callable[[str], Manifest],
    bootstrap: int,
    sensitivity: float | None,
) -> None:
    """Evaluate a run by the labels of each reader, and store how far these agree on its images.

    `opened` opens the file with the labels of one reader, or with a rule for all.
    """
    whole = opened("majority")
    if not whole.readers[1:]:
        fail(f"--each-reader: {whole.path} does not have the labels of two readers", EXIT_USAGE)
    tables = {reader: opened(reader) for reader in whole.readers}
    evaluations = {}
    for reader, table in tables.items():
        write = partial(_ask, run_id, reader, table, bootstrap, sensitivity)
        evaluations[reader] = write_once(database, write)
        evaluate_now(database, settings, evaluations[reader])
    with database.read() as connection:
        images = sorted(images_of(connection, run_id))
    rows = list(agreements({reader: list(table) for reader, table in tables.items()}, whole.findings, images))
    path = str(whole.path.resolve())
    write_once(database, lambda connection: write_agreement(connection, run_id, path, rows))
    print_table(
        ("finding", "images", "readers", "Fleiss' kappa", "95% interval", ""),
        (
            (
                row.finding,
                row.images,
                row.readers,
                figure(row.kappa),
                interval(row.ci_low, row.ci_high),
                row.reason,
            )
            for row in rows
            if row.statistic == "fleiss"
        ),
        title=f"agreement of {len(tables)} readers",
    )
    said = ", ".join(f"{reader}: {number}" for reader, number in evaluations.items())
    say(f"evaluations of run {run_id} by reader: {said}; see the views auc and agreement")


def _ask(
    run_id: int,
    reader: str,
    table: Manifest,
    bootstrap: int,
    sensitivity: float | None,
    connection: Connection,
) -> int:
    """Make the evaluation by one reader's labels due; returns its id."""
    labels = store_labels(connection, run_id, table)
    return ask(connection, run_id, EvaluationRequest(labels, reader, bootstrap, sensitivity))
