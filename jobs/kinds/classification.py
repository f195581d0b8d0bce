"""Runs whose answers are scores of findings."""

from collections.abc import Sequence
from typing import Final

from db.database import SqlRow
from db.queries import auc_table
from jobs.console import figure, interval, print_table
from jobs.kinds.kind import AnswerKind


def _print_auc(rows: Sequence[SqlRow], title: str) -> None:
    print_table(
        ("finding", "positive", "negative", "AUROC", "95% interval", "method", ""),
        (
            (
                row.finding,
                row.n_positive,
                row.n_negative,
                figure(row.auroc),
                interval(row.ci_low, row.ci_high),
                row.ci_method,
                row.reason,
            )
            for row in rows
        ),
        title=title,
    )


KIND: Final = AnswerKind(
    noun="image",
    view="scores",
    figures="auc",
    read_figures=auc_table,
    print_figures=_print_auc,
    beside="overlays, one folder per finding",
    objects=("dicom-sr", "dicom-sc", "dicom-gsps"),
    report="jobs.report.classification:REPORT",
    unsuited={},
)
