"""The section "Thresholds": the figures at each threshold of a finding."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from db.answers import Rows, read_rows
from db.database import Connection
from jobs.report.rows import in_order

_KINDS: Final = ("card", "0.5", "youden", "sensitivity")


def thresholds(connection: Connection, evaluation_id: int, findings: Sequence[str]) -> list[tuple[str, Rows]]:
    """Return each finding's thresholds, the card's first."""
    rows = read_rows(
        connection,
        """
        SELECT finding, kind, threshold, tp, fp, tn, fn, sensitivity, sensitivity_low, sensitivity_high,
               specificity, specificity_low, specificity_high, ppv, ppv_low, ppv_high,
               npv, npv_low, npv_high, f1, accuracy, prevalence, reason
        FROM thresholds WHERE evaluation_id = :evaluation_id AND subgroup = 'all'
        """,
        evaluation_id=evaluation_id,
    )
    ordered = in_order(rows, findings, lambda row: _KINDS.index(row["kind"]))
    return [(finding, list(of)) for finding, of in groupby(ordered, key=lambda row: str(row["finding"]))]
