"""The command `nightread compare`: two runs compared on the images that both have scored."""

from typing import Annotated

import typer

from db import queries
from db.comparisons import Comparisons, find_label_set, write_comparison
from db.database import Connection, Database
from db.receipts import write_once
from jobs.commands.runs import find_run
from jobs.commands.session import existing, require_suited
from jobs.console import EXIT_USAGE, err, fail, figure, print_table, say
from jobs.tables.labels import OWN
from workers.evaluation.comparison import SIGNIFICANT, compare_runs

app = typer.Typer()


@app.command()
def compare(
    run_a: Annotated[
        int, typer.Argument(metavar="A", parser=find_run, help="A run, by number, last or name.")
    ],
    run_b: Annotated[int, typer.Argument(metavar="B", parser=find_run, help="Another run.")],
    label_set: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Labels that an evaluation of A or B has used. Default: those of A's own manifest.",
        ),
    ] = None,
) -> None:
    """Test whether run A is better than run B, on the images that both have scored.

    DeLong's paired test for each finding, Obuchowski's where patients have several images, with few
    cases a permutation test; corrected for the number of findings by Holm's method. The result is kept
    in the view comparisons.

    Example: nightread compare 8 7 --label-set radiologists
    """
    _, database = existing()
    require_suited(database, "compare", run_a, run_b)
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

    def write(connection: Connection) -> int:
        return write_comparison(connection, run_a, run_b, label_manifest_id, label_set or OWN, comparisons)

    written = write_once(database, write)
    _print_comparison(database, (run_a, run_b), comparisons)
    say(f"comparison {written} is kept in the view comparisons")


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
                figure(row["auroc_a"]),
                figure(row["auroc_b"]),
                figure(row["difference"], "+.3f"),
                None if row["ci_low"] is None else f"{row['ci_low']:+.3f} to {row['ci_high']:+.3f}",
                figure(row["p_holm"], ".3g"),
                row["reason"] or _verdict(row["difference"], row["p_holm"]),
            )
            for row in comparisons.rows
        ),
        title=f"AUROC on the {comparisons.images:,} images that both have scored",
    )


def _verdict(difference: float | None, p: float | None) -> str | None:
    if difference is None or p is None or p >= SIGNIFICANT:
        return None
    return "A is better" if difference > 0 else "B is better"
