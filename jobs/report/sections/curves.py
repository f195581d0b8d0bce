"""The section "Curves and calibration": each finding's stored points and its scores, drawn."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from db.answers import Rows, read_rows
from db.database import Connection, Record
from db.scores import LabelledScores
from jobs.report import plots
from jobs.report.rows import Content

_BINS: Final = 20
"""Of a histogram, from probability 0 to 1."""


def drawn(
    connection: Connection,
    evaluation_id: int,
    aucs: Rows,
    at_card: Mapping[str, Record],
    scores: LabelledScores,
) -> dict[str, Content]:
    """Draw the curves of each finding; `at_card`: its row of thresholds at the card's threshold."""
    data: dict[str, Mapping[str, Any]] = {
        **_curves(connection, evaluation_id),
        "calibration": _bins(connection, evaluation_id),
        "scores": histograms(scores),
    }
    return plots.plots([row | {"card": at_card.get(row["finding"])} for row in aucs], data)


def histograms(scores: LabelledScores) -> dict[str, plots.Histogram]:
    """Count each finding's images by label and probability; without those that have no labelled image."""
    found = {}
    for column, finding in enumerate(scores.findings):
        p, labels = scores.probabilities[:, column], scores.labels[:, column]
        absent, present = (
            np.histogram(p[(labels == label) & ~np.isnan(p)], _BINS, (0, 1))[0] for label in (0, 1)
        )
        if absent.any() or present.any():
            found[finding.name] = (absent, present)
    return found


def _curves(connection: Connection, evaluation_id: int) -> dict[str, dict[str, Rows]]:
    """Return each finding's points, from the highest threshold to the lowest, by curve and finding."""
    curves: dict[str, dict[str, Rows]] = {"roc": {}, "precision_recall": {}}
    for row in read_rows(
        connection,
        """
        SELECT finding, curve, x, y, y_low, y_high FROM curves
        WHERE evaluation_id = :evaluation_id ORDER BY point
        """,
        evaluation_id=evaluation_id,
    ):
        curves[row["curve"]].setdefault(row["finding"], []).append(row)
    return curves


def _bins(connection: Connection, evaluation_id: int) -> dict[str, Rows]:
    """Return each finding's bins with an image."""
    bins: dict[str, Rows] = {}
    for row in read_rows(
        connection,
        """
        SELECT finding, mean_probability, share_positive, share_low, share_high, images FROM calibration
        WHERE evaluation_id = :evaluation_id AND mean_probability IS NOT NULL AND share_positive IS NOT NULL
        ORDER BY bin
        """,
        evaluation_id=evaluation_id,
    ):
        bins.setdefault(row["finding"], []).append(row)
    return bins
