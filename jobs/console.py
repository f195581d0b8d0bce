"""What the commands print: tables and closing words, for people and for pipes."""

import os
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from db import queries
from db.database import Database

EXIT_INCOMPLETE: Final = 1
EXIT_USAGE: Final = 2
EXIT_SOME_FAILED: Final = 3


def _console(*, stderr: bool = False) -> Console:
    console = Console(stderr=stderr)
    # A pipe or a file has no width: Rich's 80 columns would cut names short there.
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(stderr=stderr, width=160)


out = _console()
err = _console(stderr=True)


def fail(message: str, code: int) -> NoReturn:
    """Say in one line what is wrong, and end."""
    err.print(f"[bold red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise SystemExit(code)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Print rows as a table; NULL is shown as nothing."""
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*("" if value is None else _shown(value) for value in row))
    out.print(table)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def print_auc(database: Database, run_id: int) -> None:
    """Print the newest AUC table of a run."""
    rows = queries.auc_table(database, run_id)
    card = queries.model_card(database, run_id)
    print_table(
        ("finding", "positive", "negative", "AUROC", "95% interval"),
        (
            (
                row.finding,
                row.n_positive,
                row.n_negative,
                None if row.auroc is None else f"{row.auroc:.3f}",
                None if row.ci_low is None else f"{row.ci_low:.3f} - {row.ci_high:.3f}",
            )
            for row in rows
        ),
        title=f"run {run_id}, model {card['name']} ({card['sha256'][:12]})",
    )
    out.print(f"{card['name']}: {card['description']}", highlight=False, markup=False)
    if not card["trained"]:
        out.print("[yellow]It is untrained: these figures show that the machinery works, nothing else.[/]")
    if not card["clinical_use"]:
        out.print("Not for clinical use.")


def print_localisation(database: Database, evaluation_id: int) -> None:
    """Print how well the maps of an evaluation's run point at the boxes."""
    print_table(
        ("finding", "images", "peak in a box", "share", "95% interval", "mean IoU", ""),
        queries.localisation_table(database, evaluation_id),
        title="heatmaps against drawn boxes",
    )


def print_failures(database: Database, run_id: int) -> None:
    """Print how many images failed and why, if any did."""
    rows = queries.failure_reasons(database, run_id)
    if rows:
        print_table(
            ("stage", "reason", "images", "one of them"), rows, title="images that could not be scored"
        )
